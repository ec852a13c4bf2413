"""The kernel's audit records, from logs and live. They show refusals only: the kernel writes no
record of a check that passed.

All of it may be imported. ``records`` and ``denials`` are pure; ``live`` listens, ``logs`` reads
what this machine keeps.
"""
