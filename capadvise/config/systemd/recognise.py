"""Which files of a folder are units."""

from __future__ import annotations

from capadvise.config.units.names import dropped_in, unit_section


def meant(path: str, text: str) -> bool:
    """Else it runs nothing, or is of D-Bus or avahi."""
    return dropped_in(path) or f"[{unit_section(path)}]" in text
