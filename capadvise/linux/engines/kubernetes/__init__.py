"""Workloads of a cluster, through kubectl: contexts and logins are its matter, as those of docker
are docker's. ``objects``, ``copies`` and ``sets`` are pure."""
