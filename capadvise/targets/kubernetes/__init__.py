"""Workloads of a cluster, through kubectl: contexts and logins are its matter, as those of docker
are docker's.

All of it may be imported. ``objects``, ``copies`` and ``sets`` are pure.
"""
