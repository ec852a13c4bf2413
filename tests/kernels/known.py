"""Where an older kernel itself asks for something else than the newest: each with its reason."""

from __future__ import annotations

DIFFERENCES: dict[tuple[str, str], set[str]] = {}
"""(release, command of the row) → what is recommended there."""
