"""Unit files, which systemd and podman read alike.

All of it may be imported.
"""
