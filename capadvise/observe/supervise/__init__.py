"""Starting a target that is held before its exec, owning it, reading until its end.

For others: ``record.observe`` records a command, ``live_recorder`` does so for a screen. Other
rooms record other subjects with the same ``session``, ``event_loop``, ``sources``, ``decisions``,
``guardian_client``, ``health_check`` and ``pty``; a ``command`` (``command_subject``) is one of
these, ``observation`` the value that each gives.
"""
