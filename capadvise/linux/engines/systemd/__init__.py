"""systemd's units as targets: recorded under a drop-in of their own, tried under others.

Commands begin at ``record.observe_unit`` and ``trial``. The service manager starts the unit, with
all that the unit says; drop-ins in /run take away what would hide checks, and are gone afterwards
however the run ends (``undo``).
"""
