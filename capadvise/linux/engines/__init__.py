"""Container engines: docker and podman, through their own command lines.

``names`` finds running containers, ``saved`` asks for an image; ``record`` starts and records.
"""
