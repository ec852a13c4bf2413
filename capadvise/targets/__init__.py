"""Who makes containers, pods and units: docker and podman, container runtimes of Kubernetes, a
cluster, systemd. Each in a package of its own; what they have in common is here.

All of it may be imported: ``names`` finds running containers, ``saved`` and ``labels`` ask for an
image, ``shims`` knows what keeps a container.
"""
