"""Proves a set by trials. ``plan`` chooses the next trial and interprets the results, with
``attempts``: pure. ``trials`` runs them, isolated from the machine.

All of it may be imported.
"""
