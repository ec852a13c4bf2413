"""Reading what restrains a process: mounts, control groups, security modules, seccomp filters.

All of it may be imported. ``read.posture_of`` gives it as a value of ``capadvise.model.posture``.
"""
