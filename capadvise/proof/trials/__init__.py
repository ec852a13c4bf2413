"""Running a workload under a chosen set of capabilities, isolated from the machine.

For others: ``runner`` makes a trial, in a process that it asks ``stages`` for; ``choices`` and
``groups`` say how, ``stop`` ends it. What happens in that process is in ``sandbox``.
"""
