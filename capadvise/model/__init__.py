"""Values: what a recording saw, its target, the target's restraints, and how to run it again. Also
the basics of all rooms: capabilities, errors, strict YAML, text made safe to print.

Nothing here imports another room, reads a file or calls the kernel. All of it may be imported.
"""
