"""The contents of an image or of a container's file system: owners, set-id bits, file capabilities.

All of it may be imported. ``archive`` reads a saved image, ``ownership`` a running container; the
other modules serve these two.
"""
