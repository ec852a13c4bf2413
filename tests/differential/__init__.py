"""Files in every spelling, and what their real consumers make of them: the gate may not pass what
they grant. ``python -m tests.differential`` is the long form, which prints its counts."""
