"""systemd's units as targets: recorded under a drop-in of their own, tried under others.

The service manager starts the unit, with all that the unit says; drop-ins in /run take away what
would hide checks, and are gone afterwards however the run ends (``undo``). Commands begin at
``record.observe_unit`` and ``trial``. For others besides: ``activators``, ``invocation``,
``manager``, ``safety``, ``unit``, ``unit_starts``.
"""
