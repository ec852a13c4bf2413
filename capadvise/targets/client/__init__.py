"""The command lines of docker and podman, and what their clients and docker's API answer.

All of it may be imported. ``client`` and ``docker_client`` ask an engine; ``invocation``,
``container`` and ``cgroup_path`` only read text, and are pure.
"""
