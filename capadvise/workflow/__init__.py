"""Tasks of several steps: record and judge, prove, try sets for a review, read a log, and examine
this machine (``doctor``). They are the same for terminal, TUI and JSON.

All of it may be imported by ``capadvise.cli.commands``. The screens import ``protocols`` alone: the
values and calls that they are given.
"""
