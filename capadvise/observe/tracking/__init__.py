"""From events to distinct checks: which task, in which system call, on whose behalf.

For others: ``tracker.Tracker`` takes pages of events, ``tasks`` says what is known of a thread.
"""
