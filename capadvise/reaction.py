"""How a program takes a refusal, as copies of it showed. A value; ``asides`` judges it."""

from __future__ import annotations

from capadvise.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Reaction:
    """What copies of a program did where a call was refused to them (``--copies``)."""

    program: str
    """As in Check.program."""
    syscall: str
    """As in Check.syscall, "fchownat"."""
    tried: int
    """Calls that were tried in copies, so that an answer came."""
    went_on: int
    """Of these: calls after which the refused copy went on as the other one did."""
    marked: int
    """Of those that went on: how often the refusal left something in the program's memory: a
    message, a flag."""
    untried: int
    """Calls that were not tried, or without an answer: too many, too much memory, a limit."""
    wrote: str = ""
    """What a refused copy wrote first, at most 200 characters: text of the program's own making."""
