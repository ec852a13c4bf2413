"""Whether copies can be made here."""

from __future__ import annotations

import os

from capadvise.caps import SYS_ADMIN, Cap
from capadvise.errors import CannotObserve
from capadvise.linux.copies.watched import MACHINE
from capadvise.linux.kernel import procfs

_TAKEN = frozenset([SYS_ADMIN, Cap.parse("SYS_PTRACE")])
"""By a filter without no_new_privs, and by copying a process of another user."""


def require_copies() -> None:
    """Raise CannotObserve where none can be made, with the cause and what to do about it."""
    if reason := why_not(os.uname().machine, (procfs.PROC / "self" / "status").read_text()):
        raise CannotObserve(f"--copies: {reason}", hint="run it without --copies")


def why_not(machine: str, status: str) -> str | None:
    """Why none can be made; None where they can. ``status``: our /proc/PID/status."""
    if machine != MACHINE:
        return f"copies are made on {MACHINE} only, and this is {machine}"
    if lacking := _TAKEN - procfs.parse_sets(status).effective:
        return f"copies take {', '.join(cap.short for cap in sorted(lacking))}"
    filters = procfs.parse_status(status).get("Seccomp_filters")
    if filters is None:
        return "copies take Linux 5.9"
    return None if filters == "0" else "copies cannot be made below a seccomp filter"
