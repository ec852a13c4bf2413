"""``capadvise kubernetes``: record, prove and dry-run a workload of a cluster, through kubectl.

``record``, ``prove`` and ``dry_run`` are for the commands; ``observers`` starts our
own pods on the nodes, which record.
"""
