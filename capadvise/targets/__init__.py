"""Makers and finders of targets: docker, podman, systemd, clusters, and what runs already.

All of it may be imported. Each kind has a package of its own; shared modules are here:
``engine_images`` reads images, ``shims`` names the processes that keep containers, ``attaching``
serves recordings of what runs already.
"""
