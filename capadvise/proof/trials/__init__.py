"""Runs a workload with a chosen set of capabilities, isolated from the machine.

For others: ``runner`` makes a trial, in a process that ``stages`` provides; ``choices`` and
``groups`` say how, ``stop`` ends it. ``sandbox`` is the program of that process.
"""
