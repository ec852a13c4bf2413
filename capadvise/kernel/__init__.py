"""Reading the kernel's own files, and one function for each of its facilities that we call.

All of it may be imported by every room above. It imports ``model`` alone.
"""
