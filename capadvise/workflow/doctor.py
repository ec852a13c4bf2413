"""``doctor``: what capadvise can observe on this machine, and how to get more; one probe a line."""

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from capadvise.kernel import gpl_modules, libc, procfs
from capadvise.kernel.posture.read import Machine, posture_of
from capadvise.kernel.sudo import with_sudo
from capadvise.model.caps import Cap
from capadvise.model.errors import CannotObserve, CapadviseError
from capadvise.model.escape import printable
from capadvise.model.posture import Sharing
from capadvise.model.recording import Check
from capadvise.observe.audit.live import AuditListener
from capadvise.observe.ftrace import probes, tracefs
from capadvise.observe.ftrace.instances import Buffers, observer, require
from capadvise.observe.ftrace.kallsyms import Symbols
from capadvise.observe.retry.mode import own_maps, require_retry, restriction
from capadvise.observe.tracking.tasks import OneCommand, Scope
from capadvise.observe.tracking.tracker import Tracker

LOCKDOWN = Path("/sys/kernel/security/lockdown")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class HostFact:
    """The answer of one probe."""

    probe: str
    good: bool
    said: str
    remedy: str | None = None
    needed: bool = True
    """False if capadvise can observe without it."""
    chosen: bool = False
    """True for the observer that is used."""


def examine() -> Iterator[HostFact]:
    """All probes, in the order in which they depend on each other."""
    yield HostFact("kernel", True, f"Linux {platform.release()} on {platform.machine()}")
    uid = os.geteuid()
    yield _fact("root", uid == 0, "running as root", f"running as uid {uid}", with_sudo())
    yield _fact(
        "pid namespace",
        os.stat("/proc/self/ns/pid").st_ino == procfs.INITIAL_PID_NAMESPACE,
        "the initial one",
        "not the initial one: this looks like a container",
        "run on the host, or in a container with --pid=host --privileged",
    )
    yield _try("tracefs", tracefs.find, _where)
    yield from restrictions()
    yield _try("kernel symbols", Symbols.load, lambda _: "/proc/kallsyms shows addresses")
    yield from observers()
    yield _fact(
        "python-prctl",
        gpl_modules.folder_of("prctl") is not None,
        "installed",
        "missing: without it, nothing is proven",
        gpl_modules.how_to_install(),
    )
    yield retries()
    yield user_namespaces()
    yield audit_records()
    bounding = procfs.capability_sets().bounding
    missing = [
        Cap(number).short for number in range(procfs.last_cap() + 1) if Cap(number) not in bounding
    ]
    yield _fact(
        "bounding set",
        not missing,
        "holds every capability",
        f"lacks {', '.join(missing)}",
        "a target cannot get what this process lacks: calls needing it fail here, and capadvise "
        "infers the need from the error",
        needed=False,
    )


def restrictions() -> Iterator[HostFact]:
    """Restrictions that keep even root from tracing, or change a target's needs."""
    try:
        mode = LOCKDOWN.read_text().partition("[")[2].partition("]")[0]
    except OSError:
        mode = ""
    yield _fact(
        "lockdown",
        mode != "confidentiality",
        mode or "off or unknown",
        f"{mode}: root may not trace the kernel",
        "boot without lockdown=confidentiality",
        needed=False,
    )
    mac = posture_of(os.getpid(), Machine.read(), sysctls=False).mac
    yield _fact(
        "confinement",
        mac is None or mac.mode != "enforce",
        "no security module confines capadvise itself",
        f"{mac.module} confines capadvise itself, as {printable(mac.label)}" if mac else "",
        "it may cause the failures below: its profile has to allow what they name",
        needed=False,
    )
    paranoid = procfs.sysctl("kernel.perf_event_paranoid") or "?"
    more = paranoid.isdecimal() and int(paranoid) > 2
    yield HostFact(
        "perf",
        True,
        f"kernel.perf_event_paranoid is {paranoid}: capadvise is not hindered"
        + ("; a target's perf needs SYS_ADMIN, PERFMON is not enough" if more else ""),
        needed=False,
    )


def observers() -> Iterator[HostFact]:
    """For each observer what it lacks; then whether the chosen one sees a check of our own."""
    try:
        root = require()
        best = observer(root)
    except CapadviseError as error:
        yield HostFact("observer", False, str(error), error.hint)
        return
    for each in probes.Observer:
        missing = probes.why_not(each, root)
        used = each is best
        said = missing or ("used" if used else "possible")
        yield HostFact(each, not missing, said, needed=False, chosen=used)
    yield _try(
        "self-check", lambda: _self_check(root), lambda check: f"seen, {' ← '.join(check.site)}"
    )


def audit_records() -> HostFact:
    """Try to receive the kernel's audit records, which tell what security modules refuse."""
    listener = AuditListener.open()
    here = posture_of(os.getpid(), Machine.read(), sysctls=False).namespaces
    if listener is not None:
        listener.close()
    return _fact(
        "audit records",
        listener is not None and here.get("net") is not Sharing.OWN,
        "received from the kernel",
        "not received: refusals by a security module cannot be distinguished from others",
        "needs AUDIT_READ and the initial user and network namespaces; or import auditd's log",
        needed=False,
    )


def user_namespaces() -> HostFact:
    """Check that ordinary users, and so rootless engines, can make user namespaces."""
    if restricted := restriction():
        return HostFact("user namespaces", False, *restricted, needed=False)
    return HostFact("user namespaces", True, "ordinary users can make them", needed=False)


def retries() -> HostFact:
    """Check that ``run --retry`` works here, and as which user."""
    try:
        require_retry()
    except CannotObserve as error:
        return HostFact("retries", False, str(error), error.hint, needed=False)
    mapped = own_maps()
    if mapped is None:
        said = "possible: run --retry; used alone where the kernel cannot be traced"
    elif all(len(ranges) > 1 for ranges in mapped.values()):
        said = "possible, as root of a user namespace with your subordinate ids"
    else:
        said = (
            "possible, as root of a user namespace with a single id: programs cannot switch users"
        )
    return HostFact("retries", True, said, needed=False)


def _fact(
    probe: str, good: bool, yes: str, no: str, remedy: str, *, needed: bool = True
) -> HostFact:
    said, needs = (yes, None) if good else (no, remedy)
    return HostFact(probe, good, said, needs, needed)


def _where(path: Path) -> str:
    detached = path.parent == Path("/proc/self/fd")
    return "not mounted; a private mount works" if detached else f"mounted at {path}"


def _try(probe: str, attempt: Callable[[], _T], said: Callable[[_T], str]) -> HostFact:
    try:
        return HostFact(probe, True, said(attempt()))
    except CapadviseError as error:
        return HostFact(probe, False, str(error), error.hint)


# ------------------------------------------------------------- the self-check

_SETPCAP = Cap.parse("SETPCAP")


def _self_check(root: Path) -> Check:
    """Make the kernel check SETPCAP, and return the check that the observer saw.

    Raises CannotObserve if it saw none, or if the kernel cannot be traced.
    """
    pid = os.getpid()
    symbols = Symbols.load()
    buffers = Buffers(root, missing=frozenset())
    scope = Scope(0, pid, 0)
    try:
        buffers.open(lambda: [pid])
        tracker = Tracker(buffers.types, symbols, OneCommand(pid), pid, os.getuid(), os.getgid())
        tracker.adopt(pid, scope)
        with suppress(OSError):
            libc.check_setpcap()
        buffers.stop()
        buffers.drain(tracker)
        tracker.finish()
    finally:
        buffers.close()
        buffers.remove()
    for check in tracker.checks(scope):
        if check.cap == _SETPCAP and check.syscall == "prctl":
            return check
    raise CannotObserve(
        f"the {buffers.source.observer} missed a capability check that was made: this kernel "
        "checks in another function",
        hint="choose another observer: CAPADVISE_OBSERVER=kprobe capadvise doctor",
    )
