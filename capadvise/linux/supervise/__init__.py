"""Starting a target that is held before its exec, owning it, reading to its end.

``record.observe`` records a command; ``session`` and ``event_loop`` serve other targets, too.
"""
