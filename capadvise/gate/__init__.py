"""The gate judges what a configuration file grants, by rules and by reports.

Four steps: ``gathering`` reads the files, ``outcome.examine`` judges their services and returns
values (``finding``), ``accepting`` marks what somebody accepts, and ``text``, ``machine`` or
``gitlab`` shows the ``outcome.Outcome``.

Four modules read the disc: ``gathering``, ``installed`` (the unit files of this machine),
``baseline`` (the reports) and ``files``, which alone writes: ``patching`` plans a change of the
user's file and makes it through ``files``. The others are pure: values in, values out.

Others import the modules that are named here, and ``service``.
"""
