"""Words for numbers and sets, in generated sentences."""

from collections.abc import Iterable, Sized

from capadvise.model.caps import Cap


def counted(number: int, noun: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{number} {noun}{'s' * (number != 1)}"


def it_or_them(things: Sized) -> str:
    """The pronoun for one thing, or for several."""
    return "it" if len(things) == 1 else "them"


def set_text(caps: Iterable[Cap]) -> str:
    """``CHOWN, SETUID``, or ``none``."""
    return ", ".join(cap.short for cap in sorted(caps)) or "none"
