"""Running a workload under a chosen set of capabilities, isolated from the machine.

``runner`` starts ``sandbox`` as a program of its own, once for each trial.
"""
