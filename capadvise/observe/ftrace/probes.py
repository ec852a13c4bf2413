"""The events of tracefs that show capability checks: the kernel's tracepoint, else probes of our
own.

A run's probes bear its name. The guardian removes them after the trace instances; the next
start removes those that a double kill left.

Reference: Documentation/trace/kprobetrace.rst, fprobetrace.rst, events/capability.h of the kernel.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from capadvise.kernel import procfs
from capadvise.model.errors import BadInput, CannotObserve
from capadvise.observe.ftrace.removal import remove_probes

FUNCTION = "cap_capable"
"""Called for every check: (cred, user namespace, capability, options) since Linux 5.1."""
TRACEPOINT = "capability:cap_capable"
DYNAMIC = "dynamic_events"
FORCE = "CAPADVISE_OBSERVER"
"""Environment variable: the one observer to be used."""
RETRY = "retry"
PREFIX = "capadvise_"
_RETURNED = "capadvise/capadvise_returned"
"""The return probe, which all runs share: before Linux 5.16 a kernel stack cannot be read across
a return probe, so an entry probe must run before every one of them; the kernel calls the newest
first. It cannot be removed while a run uses it."""
SETTINGS = ("/proc/sys/kernel/ftrace_enabled", "/sys/kernel/debug/kprobes/enabled")
"""They switch off the probes of the whole machine; the tracepoint needs neither."""
_PLACES = 256
"""How many tasks can be in the function at once before a return is missed (and counted)."""
_ARGUMENTS = "ns=$arg2 cap=$arg3:s32 opts=$arg4:u32"
_RETURN_ARGUMENTS = "kernel return probes support:"
"""In the README of tracefs (Linux 6.9): a return probe can still see the arguments."""


class Observer(StrEnum):
    """The kinds of events that show checks, the best first."""

    TRACEPOINT = "tracepoint"
    FPROBE = "fprobe"
    KPROBE = "kprobe"


@dataclass(frozen=True, slots=True)
class CheckSource:
    """The events that show checks."""

    observer: Observer
    check: str
    """``system:event``"""
    fields: tuple[str, ...]
    """Namespace, capability, [options,] and last the answer; or, if a second event has the answer,
    the stack pointer by which the two are paired."""
    returned: str | None = None
    """The event of a function's return, with ``sp`` and ``ret``."""
    definitions: tuple[str, ...] = ()
    """The private probe; of several spellings, the first that the kernel takes."""

    @property
    def probes(self) -> list[str]:
        """The probes to remove after the run, as ``group/event``."""
        private = [self.check.replace(":", "/")] if self.definitions else []
        return private + ([_RETURNED] if self.returned else [])


def source(observer: Observer) -> CheckSource:
    """The events of an observer, under this run's own names."""
    if observer is Observer.TRACEPOINT:
        return CheckSource(observer, TRACEPOINT, ("target_ns", "cap", "ret"))
    mark = procfs.mark().replace("-", "_")
    group, event = f"{PREFIX}{mark}", f"check_{mark}"
    name = f"{group}/{event}"
    if observer is Observer.FPROBE:
        return CheckSource(
            observer,
            f"{group}:{event}",
            ("ns", "cap", "opts", "ret"),
            definitions=tuple(
                # Built on the function graph, fprobes need no places, and take no number of them.
                f"f{places}:{name} {FUNCTION}%return {_ARGUMENTS} ret=$retval:s32"
                for places in (_PLACES, "")
            ),
        )
    return CheckSource(
        observer,
        f"{group}:{event}",
        ("ns", "cap", "opts", "sp"),
        returned=_RETURNED.replace("/", ":"),
        definitions=(f"p:{name} {FUNCTION} {_ARGUMENTS} sp=$stack",),
    )


def choose(root: Path, forced: str | None = None) -> Observer:
    """The best observer that this kernel has, or the one that is forced.

    Raises CannotObserve with the reason why there is none, or where retries alone are asked for;
    BadInput where what is forced cannot be had.
    """
    if forced == RETRY:
        raise CannotObserve(f"{FORCE} allows only retries")
    if forced:
        if forced not in list(Observer):
            raise BadInput(f"{FORCE}: {forced!r} is none of {', '.join([*Observer, RETRY])}")
        wanted = Observer(forced)
        if missing := why_not(wanted, root):
            raise BadInput(f"{FORCE} asks for {wanted}, but it has {missing}")
        return wanted
    reasons = []
    for observer in Observer:
        missing = why_not(observer, root)
        if not missing:
            return observer
        reasons.append(f"{observer}: {missing}")
    raise CannotObserve(
        "capadvise knows no way to observe capability checks on this kernel; " + "; ".join(reasons),
        hint="`capadvise doctor` lists what this machine offers",
    )


def why_not(observer: Observer, root: Path) -> str | None:
    """Why this kernel lacks an observer; None if it has it. Makes nothing."""
    if observer is Observer.TRACEPOINT:
        if (root / "events" / TRACEPOINT.replace(":", "/")).is_dir():
            return None
        return "no such events: capability:cap_capable came with Linux 6.14"
    if observer is Observer.KPROBE:
        if (root / "kprobe_events").exists():
            return None
        return "no kprobe events (CONFIG_KPROBE_EVENTS)"
    readme = (root / "README").read_text(errors="replace")
    if not re.search(r"^\s+f\S* <func-name>", readme, re.MULTILINE):
        return "no fprobe events (CONFIG_FPROBE_EVENTS, since Linux 6.5)"
    if _RETURN_ARGUMENTS not in readme:
        return "fprobe events, but without arguments at a return (they can since Linux 6.9)"
    return None


def define(root: Path, wanted: CheckSource) -> None:
    """Make the private probe. The shared one must be in use already: see ``define_returned``."""
    for place, definition in enumerate(wanted.definitions, start=1):
        try:
            _append(root, definition)
            return
        except CannotObserve:
            if place == len(wanted.definitions):
                raise


def define_returned(root: Path) -> None:
    """Make the shared return probe, if it is not there."""
    if not (root / "events" / _RETURNED).is_dir():
        with contextlib.suppress(FileExistsError):
            _append(root, f"r{_PLACES}:{_RETURNED} {FUNCTION} sp=$stack ret=$retval:s32")


def _append(root: Path, line: str) -> None:
    """One command. Opened for appending: to truncate this file removes everybody's probes."""
    try:
        fd = os.open(root / DYNAMIC, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.write(fd, line.encode())
        finally:
            os.close(fd)
    except FileExistsError:
        raise
    except OSError as error:
        raise CannotObserve(
            f"the kernel refuses the probe {line!r}: {error.strerror}",
            hint="run `capadvise doctor`",
        ) from error


def remove_leftovers(root: Path) -> None:
    """Remove probes of runs whose supervisor and guardian were killed at the same moment."""
    try:
        names = defined((root / DYNAMIC).read_text())
    except OSError:
        return
    marks = {name: _marked(name) for name in names}
    dead = [name for name, process in marks.items() if process and not procfs.is_there(*process)]
    remove_probes(str(root), dead + [name for name in names if name == _RETURNED])


def defined(text: str) -> list[str]:
    """Our probes among all dynamic events, as ``group/event``."""
    return re.findall(rf"^\w+:({PREFIX}\w+/\w+|{_RETURNED}) ", text, re.MULTILINE)


def _marked(name: str) -> tuple[int, int] | None:
    match = re.fullmatch(rf"{PREFIX}(\d+)_(\d+)/\w+", name)
    return (int(match[1]), int(match[2])) if match else None


def missed(root: Path, wanted: CheckSource) -> int:
    """How often the kernel could not run this source's probes, since they were made.

    A kprobe is passed over when it hits inside another, a return probe also when its places are
    used up. Fprobe events keep no such count.
    """
    if not wanted.returned:
        return 0
    names = {name.partition("/")[2] for name in wanted.probes}
    try:
        lines = (root / "kprobe_profile").read_text().splitlines()
    except OSError:
        return 0
    return sum(count for name, count in _profile(lines) if name in names)


def _profile(lines: list[str]) -> Iterator[tuple[str, int]]:
    for line in lines:
        fields = line.split()
        if len(fields) == 3 and fields[2].isdecimal():
            yield fields[0], int(fields[2])
