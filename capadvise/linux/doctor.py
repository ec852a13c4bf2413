"""What can be observed here, and how to get more: one probe a line."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from capadvise.caps import Cap
from capadvise.errors import CannotObserve
from capadvise.linux import procfs, tracefs
from capadvise.linux.buffers import observer
from capadvise.linux.retry.choice import own_maps, require_retry
from capadvise.linux.symbols import Symbols

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer of one probe."""

    probe: str
    good: bool
    said: str
    remedy: str | None = None
    needed: bool = True
    """Whether nothing can be observed without it."""


def examine() -> Iterator[Finding]:
    """All probes, in the order in which they depend on each other."""
    yield Finding("kernel", True, f"Linux {platform.release()} on {platform.machine()}")
    root = os.geteuid() == 0
    yield Finding(
        "root",
        root,
        "running as root" if root else f"running as uid {os.geteuid()}",
        None if root else "prefix the command with sudo",
    )
    initial = os.stat("/proc/self/ns/pid").st_ino == procfs.INITIAL_PID_NAMESPACE
    yield Finding(
        "pid namespace",
        initial,
        "the initial one" if initial else "not the initial one: this looks like a container",
        None if initial else "run on the host, or in a container with --pid=host --privileged",
    )
    yield _try("tracefs", tracefs.find, lambda path: f"{_where(path)}")
    yield _try("observer", lambda: observer(tracefs.find()), str)
    yield _try("kernel symbols", Symbols.load, lambda _: "/proc/kallsyms shows addresses")
    prctl = importlib.util.find_spec("prctl") is not None
    yield Finding(
        "python-prctl",
        prctl,
        "installed" if prctl else "missing",
        None if prctl else "apt-get install gcc libcap-dev python3-dev; pip install python-prctl",
    )
    yield retries()
    bounding = procfs.capability_sets().bounding
    missing = [
        Cap(number).short for number in range(procfs.last_cap() + 1) if Cap(number) not in bounding
    ]
    yield Finding(
        "bounding set",
        not missing,
        "holds every capability" if not missing else f"lacks {', '.join(missing)}",
        "a target cannot be given what this process lacks; where it is refused it, that is judged "
        "by the call that failed"
        if missing
        else None,
        needed=False,
    )


def retries() -> Finding:
    """Whether ``run --retry`` works here, and as whom."""
    try:
        require_retry()
    except CannotObserve as error:
        return Finding("retries", False, str(error), error.hint, needed=False)
    mapped = own_maps()
    if mapped is None:
        said = "possible: run --retry; alone where the kernel cannot be traced"
    elif all(len(ranges) > 1 for ranges in mapped.values()):
        said = "possible, as root of a user namespace with your subordinate ids"
    else:
        said = "possible, as root of a user namespace with one id: no user can be switched"
    return Finding("retries", True, said, needed=False)


def _where(path: Path) -> str:
    detached = path.parent == Path("/proc/self/fd")
    return "not mounted; a private mount works" if detached else f"mounted at {path}"


def _try(probe: str, attempt: Callable[[], _T], said: Callable[[_T], str]) -> Finding:
    try:
        return Finding(probe, True, said(attempt()))
    except CannotObserve as error:
        return Finding(probe, False, str(error), error.hint)
