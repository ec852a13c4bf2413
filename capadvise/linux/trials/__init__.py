"""Running a workload under a chosen set of capabilities, isolated from the machine.

``runner`` asks ``stages`` for a process for each trial; what happens in it is in ``sandbox``.
"""
