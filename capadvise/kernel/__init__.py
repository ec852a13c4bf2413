"""Reading the kernel's own files, and one function for each of its facilities that we call.

Imports nothing else of ``linux``. All of it may be imported, by every other room.
"""
