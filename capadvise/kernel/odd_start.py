"""Standard streams, descriptors and memory that a caller may have withheld from us. We work around
that, and restore it for the target. Imports the standard library alone, for the launcher's sake."""

import os
import resource
import sys
from collections.abc import Iterable

NEEDED_DESCRIPTORS = 32 + 6 * os.sysconf("SC_NPROCESSORS_CONF")
"""The most that we have open at once: each trace buffer takes one for each processor."""
_NEEDED_MEMORY = 768 << 20
"""Bytes of addresses: most are for stacks of threads, and are never used."""
_MEMORY = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
_ENOUGH = {
    resource.RLIMIT_NOFILE: max(256, NEEDED_DESCRIPTORS),
    **dict.fromkeys(_MEMORY, resource.RLIM_INFINITY),
}
"""The limits that we need to work."""
Limits = list[tuple[int, int, int]]
"""(RLIMIT_*, soft, hard)."""
_former: Limits = []


def fill_streams() -> None:
    """Let no file that is opened become a standard stream. The target does not inherit these."""
    while (fd := os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)) <= 2:
        pass
    os.close(fd)
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def lift_limits() -> None:
    """Raise limits that are too low for us: as root as far as needed, else as far as allowed."""
    for kind, enough in _ENOUGH.items():
        soft, hard = resource.getrlimit(kind)
        if _is_less(soft, enough):
            _former.append((kind, soft, hard))
            try:
                resource.setrlimit(kind, (enough, enough if _is_less(hard, enough) else hard))
            except (OSError, ValueError):
                resource.setrlimit(kind, (hard, hard))


def require() -> None:
    """Raises OSError or MemoryError where we would run out of descriptors or memory: in the middle
    of the work, we would not see all."""
    opened: list[int] = []
    try:
        while len(opened) < NEEDED_DESCRIPTORS:
            opened.append(os.dup(0))
    finally:
        for fd in opened:
            os.close(fd)
    if any(_is_less(resource.getrlimit(kind)[0], _NEEDED_MEMORY) for kind in _MEMORY):
        raise MemoryError(f"less than {_NEEDED_MEMORY >> 20} MB of memory are allowed")


def is_limited() -> bool:
    """True if a limit on our memory is set."""
    return any(resource.getrlimit(kind)[0] != resource.RLIM_INFINITY for kind in _MEMORY)


def former_limits() -> Limits:
    """The limits that ``lift_limits`` raised, as they were before."""
    return list(_former)


def restore_limits(limits: Iterable[tuple[int, int, int]]) -> None:
    """Set limits as they were: in the process that becomes the target."""
    for kind, soft, hard in limits:
        resource.setrlimit(kind, (soft, hard))


def adopt_limits(limits: Iterable[tuple[int, int, int]]) -> None:
    """Remember the limits that another process of ours raised: its targets are ours now."""
    _former.extend((kind, soft, hard) for kind, soft, hard in limits)


def _is_less(limit: int, enough: int) -> bool:
    if limit == resource.RLIM_INFINITY:
        return False
    return enough == resource.RLIM_INFINITY or limit < enough
