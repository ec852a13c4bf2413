"""Everything that touches the kernel or an engine, in rooms: each says what happens there.

A room imports only from those below it; ``pyproject.toml`` has their order. What decides is pure,
and lies outside.
"""
