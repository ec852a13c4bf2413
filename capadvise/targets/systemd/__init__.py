"""Units of systemd as targets: recorded under a drop-in, tried under others.

The service manager starts the unit with all its settings. Drop-ins in /run take away settings that
would hide checks, and are removed however the run ends (``drop_in``). Commands begin at
``record.observe_unit`` and ``trial``. Others may import ``drop_in``, ``invocation``, ``manager``,
``refusals``, ``safety``, ``unit`` and ``unit_starts``, too.
"""
