"""Whether copies can be made here."""

from __future__ import annotations

import os
import re

from capadvise.caps import SYS_ADMIN, Cap
from capadvise.errors import CannotObserve
from capadvise.linux.copies.watched import MACHINE
from capadvise.linux.kernel import procfs

_TAKEN = frozenset([SYS_ADMIN, Cap.parse("SYS_PTRACE")])
"""By a filter without no_new_privs, and by copying a process of another user."""

_KERNEL = 5, 19
"""SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV."""


def require_copies() -> None:
    """Raise CannotObserve where none can be made, with the cause and what to do about it."""
    system = os.uname()
    status = (procfs.PROC / "self" / "status").read_text()
    if reason := why_not(system.machine, system.release, status):
        raise CannotObserve(f"--copies: {reason}", hint="run it without --copies")


def why_not(machine: str, release: str, status: str) -> str | None:
    """Why none can be made; None where they can. ``status``: our /proc/PID/status."""
    if machine != MACHINE:
        return f"copies are made on {MACHINE} only, and this is {machine}"
    if lacking := _TAKEN - procfs.parse_sets(status).effective:
        return f"copies take {', '.join(cap.short for cap in sorted(lacking))}"
    version = re.match(r"(\d+)\.(\d+)", release)
    if version is None or tuple(map(int, version.groups())) < _KERNEL:
        return f"copies take Linux 5.19, and this is {release}"
    none = procfs.parse_status(status).get("Seccomp_filters") == "0"
    return None if none else "copies cannot be made below a seccomp filter"
