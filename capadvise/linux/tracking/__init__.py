"""From events to distinct checks: which task, in which system call, on whose behalf.

``tracker.Tracker`` takes pages of events; ``distinct_checks`` keeps an entry for each of its kind.
"""
