"""Images with the entrypoints that published ones have, and what capadvise proves for each.

``python -m tests.images.run`` prints the table; the tests of the engines try some of them.
"""
