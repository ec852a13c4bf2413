"""What takes several steps: record and judge, prove, try sets for a review, read a log.

The same for terminal, TUI and JSON. All of it may be imported by
``capadvise.cli.commands``, and by nothing else.
"""
