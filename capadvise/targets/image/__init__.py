"""What an image or a container's file system holds: owners, set-id bits, file capabilities.

All of it may be imported. ``archive`` reads a saved image, ``ownership`` a running container; the
rest serves these two.
"""
