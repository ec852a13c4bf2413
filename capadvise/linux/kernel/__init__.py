"""Reading the kernel's own files, and one function for each of its facilities that we call.

Imports nothing else of ``linux``; every other room may import from here.
"""
