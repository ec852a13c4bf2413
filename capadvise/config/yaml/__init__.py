"""YAML as a tree with places, and edits of its text.

All of it may be imported.
"""
