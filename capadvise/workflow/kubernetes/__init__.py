"""``capadvise kubernetes``: record, prove and dry-run a workload of a cluster, through kubectl.

``record``, ``prove`` and ``dry_run`` are for the commands; ``observers`` are the pods that record,
``canaries`` those that are tried.
"""
