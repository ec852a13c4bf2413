"""The kernel's audit records, from logs and live: who refused, never what was granted, since the
kernel makes no record of a check that passed.

All of it may be imported. ``records`` and ``denials`` are pure; ``live`` listens, ``recording``
makes a value of a log.
"""
