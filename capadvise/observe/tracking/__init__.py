"""From events to distinct checks: which task, in which system call, on whose behalf.

For others: ``tracker.Tracker`` takes pages of events; ``tasks`` has the state of each thread.
"""
