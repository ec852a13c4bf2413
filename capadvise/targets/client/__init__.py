"""The command lines of docker and podman: how they are read, asked and answered.

All of it may be imported. ``client`` runs them; ``invocation``, ``container`` and ``cgroup_path``
only read, and are pure.
"""
