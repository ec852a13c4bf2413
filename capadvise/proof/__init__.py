"""Proving a set by trials. ``plan`` says which trial is next and what the answers mean, with
``growing``, ``sharing`` and ``attempts``: pure. ``trials`` runs them, isolated from the machine.

All of it may be imported.
"""
