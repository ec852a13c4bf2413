"""Workloads of a cluster, through kubectl with its own contexts and logins; pods on this machine.

All of it may be imported. ``objects``, ``copies`` and ``sets`` are pure. ``record_pods`` records
the pods of this machine, and ``pods`` finds them by name.
"""
