"""What the gate knows of pods alone: their fields, and the levels of Pod Security Standards.

All of it may be imported.
"""
