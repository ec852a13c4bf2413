"""Values: what was seen, of what, what restrains it, how to run it again. And what all rooms need:
capabilities, errors, strict YAML, text made safe to print.

Nothing here imports another room, reads a file or asks the kernel. All of it may be imported.
"""
