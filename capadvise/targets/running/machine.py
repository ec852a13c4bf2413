"""Watching the whole machine: new findings as they come, counts when they are asked for.

``CallReader`` turns refused checks and audit records into refused calls with the names of things;
``Owners`` finds whose they are.
"""

from __future__ import annotations

import errno
import os
import pwd
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import dropwhile, groupby, takewhile

from capadvise.catalog import Catalog
from capadvise.catalog.syscalls import AUDIT_ARCHS, MACHINES
from capadvise.judgement.watched import (
    LeastRecentlyUsed,
    Owner,
    OwnerKind,
    Waiting,
    WatchedCall,
    WatchFinding,
    WatchFindings,
    empty_context,
    judged,
)
from capadvise.kernel import executables, own_caps, procfs, syscalls
from capadvise.kernel.syscalls import signature, signed
from capadvise.model.caps import Cap, from_mask
from capadvise.model.errors import CannotObserve, CapadviseError
from capadvise.model.recording import UNKNOWN_CALL, CapableFile, Check, Namespace, RefusedBy, Told
from capadvise.model.target import UNIT_KINDS
from capadvise.observe.audit.denials import Denial, denials, sends_signal
from capadvise.observe.audit.live import AuditListener
from capadvise.observe.audit.logs import since_boot
from capadvise.observe.ftrace import denial_programs
from capadvise.observe.ftrace.denial_programs import ADDRESS_SIZE
from capadvise.observe.ftrace.denials import KINDS, MachineRefusals, RefusedCheck
from capadvise.observe.ftrace.instances import require_place
from capadvise.observe.ftrace.kallsyms import Symbols, call_site, syscall_of
from capadvise.observe.retry import decode
from capadvise.targets.client.cgroup_path import Place, parse_place
from capadvise.targets.client.container import PROJECT_LABEL, Container
from capadvise.targets.containers import registry
from capadvise.targets.kubernetes.cri import node
from capadvise.targets.running import target

_CALL_SECONDS = 0.02
"""Seconds after the first check in which the others of its call have come, too."""
_AT_ONCE = 256
"""The most new kinds that one round reads, so that no program takes all our time."""
_FAILURE_SECONDS = 3.0
"""Seconds after a refused call in which a program that depends on it ends."""
_AUDIT_SECONDS = 0.5
"""Seconds that the audit record of a call may take: a thread of the kernel sends it."""
KEPT_CAPS = frozenset({1, 19, 39})
"""DAC_OVERRIDE to write the counters anywhere, SYS_PTRACE for descriptors of other users'
processes, BPF for the kernel's counts."""
_OWNERS_KEPT = 512
"""Owners that are remembered."""
_USER_SLICE = re.compile(r"user-(\d+)\.slice\Z")
_MANAGER = re.compile(r"user@\d+\.service\Z")
_UNIT = tuple(UNIT_KINDS)


@dataclass(slots=True)
class _Counted:
    """One key of the kernel's counters."""

    finding: WatchFinding
    seen: int = 1


class MachineWatch:
    """Opens what it needs at once."""

    def __init__(self, catalog: Catalog, *, every_call: bool = False, log: bool = False) -> None:
        """``every_call``: see each end of a call. ``log``: read older records. Raises
        CannotObserve."""
        require_place()
        table = AUDIT_ARCHS.get(MACHINES.get(os.uname().machine, 0))
        if table is None:
            raise CannotObserve(f"the system calls of {os.uname().machine} are not known")
        numbers, names = catalog.syscalls.numbers[table], catalog.syscalls.names[table]
        self._catalog, self._context = catalog, empty_context(catalog)
        self.findings = WatchFindings()
        self.last_cap = procfs.last_cap()
        # Those that the kernel still counts are looked up each time: others make room.
        self._counted = LeastRecentlyUsed[bytes, _Counted](2 * KINDS)
        self._reader = CallReader(Symbols.load(), names, Owners())
        self._denials = MachineRefusals(numbers, every_call=every_call)
        now = time.time()
        self._audit = AuditListener.open()
        self._log = since_boot(now) if log else None
        self._every_call = every_call
        self._waiting = Waiting(_AT_ONCE)
        self._began = time.monotonic()
        own_caps.keep(KEPT_CAPS)

    @property
    def fds(self) -> list[int]:
        """Readable when there is news."""
        return [self._denials.fd, *([self._audit.fd] if self._audit else [])]

    @property
    def hears_audit(self) -> bool:
        """True if the kernel sends its audit records."""
        return self._audit is not None

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    @property
    def dropped(self) -> int:
        """How many new kinds of refusals could not be read."""
        return self._denials.dropped()

    @property
    def patience(self) -> float | None:
        """Seconds after which there can be news without anything to read; None: never."""
        due = self._waiting.due
        return None if due is None else max(0.0, due - time.monotonic())

    def news(self, *, all_: bool = False) -> Iterator[WatchFinding]:
        """The new findings; with ``all_``, also those that wait for more facts."""
        time.sleep(_CALL_SECONDS)
        now = time.monotonic()
        for call, keys in self._reader.calls(self._denials.read(_AT_ONCE)):
            wait = (
                _FAILURE_SECONDS
                if call.asks_for_limit
                else _AUDIT_SECONDS
                if call.unexplained
                else 0
            )
            if not (wait and self._waiting.add(call, keys[-1], now + wait)):
                yield from self._add(call, keys[-1])
        for call in self._audited():
            self._waiting.forget(call)
            yield from self._add(call, None)
        for call, key in self._waiting.take(None if all_ else now):
            went_on = not self._denials.failed(call.pid, call.program)
            yield from self._add(replace(call, went_on=went_on), key)

    def past(self) -> Iterator[WatchFinding]:
        """The findings of the log."""
        log, self._log = self._log, None
        for call in self._reader.logged(
            denials(log.records if log else (), self._catalog.syscalls)
        ):
            yield from self._add(call, None)

    @property
    def log(self) -> str | None:
        """The log that has the older records; None: no log."""
        return self._log.place if self._log else None

    def _add(self, call: WatchedCall, key: bytes | None) -> Iterator[WatchFinding]:
        """Count a call; yield a new finding. ``key``: the kernel's counter of further ones."""
        finding, new = self.findings.add(judged(call, self._catalog, self._context))
        finding.count += 1
        if key is not None:
            self._counted.put(key, _Counted(finding))
        if new:
            yield finding

    def _audited(self) -> Iterator[WatchedCall]:
        """The refusals that audit records report and our probes do not."""
        if self._audit is None:
            return
        records = [
            record
            for record in self._audit.records(_AT_ONCE)
            if not (sends_signal(record) or (self._every_call and record.type == "SECCOMP"))
        ]
        yield from self._reader.audited(denials(records, self._catalog.syscalls))

    def count(self) -> None:
        """Update the counts from the kernel."""
        for key, times in self._denials.counts():
            counted = self._counted.get(key)
            if counted is not None and times > counted.seen:
                counted.finding.count += times - counted.seen
                counted.seen = times

    def close(self) -> None:
        """End it."""
        self._denials.close()
        if self._audit is not None:
            self._audit.close()


_EPERM = -1
_ABOUT = 512


class CallReader:
    """Puts the checks of one call together."""

    def __init__(self, symbols: Symbols, names: Mapping[int, str], owners: Owners) -> None:
        """``names``: of system calls, by number."""
        self._symbols, self._names, self._owners = symbols, names, owners

    def calls(self, denials: Iterable[RefusedCheck]) -> Iterator[tuple[WatchedCall, list[bytes]]]:
        """Each call, and the keys by which the kernel counts its checks."""
        for _, group in groupby(denials, key=_call_of):
            together = list(group)
            yield self._call(together), [denial.key for denial in together]

    def _call(self, denials: Sequence[RefusedCheck]) -> WatchedCall:
        first = denials[0]
        sites = [call_site(self._symbols, denial.stack) for denial in denials]
        name = next(filter(None, map(syscall_of, sites)), None)
        name = name or self._names.get(first.call if first.call is not None else -1)
        name = name or UNKNOWN_CALL
        uids, gids = syscalls.Ids(*first.uids), syscalls.Ids(*first.gids)
        arguments = syscalls.arguments(name, first.arguments, uids, gids)
        if first.cap is None:
            error = errno.errorcode.get(first.error, "EPERM") if first.error else "SIGSYS"
            seen = replace(self._seen(first, name), errno=error, entered=not first.filtered)
            executes = (name, error, seen.entered) == ("execve", "EPERM", True)
            return replace(seen, files=_refused_file(first)) if executes else seen
        checks = tuple(
            Check(
                id=number,
                cap=Cap(denial.cap or 0),
                granted=False,
                ns=_namespace(denial.relation),
                site=site,
                program=denial.program,
                pid=denial.process,
                count=1,
                first=0.0,
                syscall=name,
                result=_EPERM,
                args=tuple(arguments.items()),
                uid=denial.uids[1],
            )
            for number, (denial, site) in enumerate(zip(denials, sites, strict=True), start=1)
        )
        return replace(self._seen(first, name), denied=checks)

    def _seen(self, first: RefusedCheck, name: str) -> WatchedCall:
        return WatchedCall(
            owner=self._owners.of(first.process, first.program, first.groups),
            program=first.program,
            pid=first.process,
            uid=first.uids[1],
            syscall=name,
            about=about(name, first),
            denied=(),
            permitted=from_mask(first.permitted),
            bounding=from_mask(first.bounding),
        )

    def audited(self, denials: Iterable[Denial]) -> Iterator[WatchedCall]:
        """The refusals of audit records. They do not say whose process it was if it is over."""
        for denial in denials:
            if denial.by is not RefusedBy.UNKNOWN:  # of those, only their errors are known
                yield self._audited(denial, denial.pid or 0)

    def logged(self, denials: Iterable[Denial]) -> Iterator[WatchedCall]:
        """The refusals of an audit log. Since then, another process can have got the number."""
        for denial in denials:
            pid = denial.pid or 0
            lives = denial.time is not None and procfs.began(pid) <= denial.time
            yield replace(self._audited(denial, pid if lives else 0), pid=pid, time=denial.time)

    def _audited(self, denial: Denial, pid: int) -> WatchedCall:
        return WatchedCall(
            owner=self._owners.of(pid, denial.program, ()),
            program=denial.program,
            pid=pid,
            uid=denial.uid or 0,
            syscall=denial.syscall or UNKNOWN_CALL,
            about="",
            denied=(),
            errno=denial.errno,
            told=Told(denial.by, denial.evidence),
            noted=not denial.refused,
        )


def _refused_file(denial: RefusedCheck) -> tuple[CapableFile, ...]:
    """The file that the process wanted to execute, if it has file capabilities that the bounding
    set lacks. Once the process is gone, only a path of this machine's own finds it."""
    path = os.fsdecode(denial.pointed.partition(b"\0")[0])
    own = ["/proc/self"] if path.startswith("/") and not denial.relation else []
    handle, _ = executables.open_named(path, [f"/proc/{denial.process}", *own])
    if handle is None:
        return ()
    gain = executables.gain_of(handle, in_user_namespace=bool(denial.relation))
    os.close(handle)
    lacked = gain.demanded - from_mask(denial.bounding)
    return (CapableFile(gain.path, gain.demanded, denial.program),) if lacked else ()


def _call_of(denial: RefusedCheck) -> tuple[object, ...]:
    """Consecutive checks of one call. A server can repeat a call for another user."""
    return denial.thread, denial.call, denial.arguments, denial.uids, denial.cap is None


def _namespace(relation: int) -> Namespace:
    if relation & denial_programs.OWN:
        return Namespace.TARGET
    return Namespace.HOST if relation & denial_programs.OUTSIDE else Namespace.OTHER


def about(call: str, denial: RefusedCheck) -> str:
    """The arguments in words. Hostile."""
    arguments = (*denial.arguments, *[0] * 6)
    try:
        return (decode.detail(call, arguments, _Memory(call, denial)) or "")[:_ABOUT]
    except (ValueError, IndexError):
        return ""


class _Memory:
    """A ``decode.Memory`` of the values read at the call, and of /proc."""

    def __init__(self, call: str, denial: RefusedCheck) -> None:
        self._denial = denial
        kinds = [kind for _, kind in signature(call)]
        self._path = kinds.index("path") if "path" in kinds else -1

    def text(self, address: int) -> bytes:
        """The path, once."""
        ours = 0 <= self._path < 6 and address == self._denial.arguments[self._path]
        return self._denial.pointed.partition(b"\0")[0] if ours else b""

    def raw(self, address: int, size: int) -> bytes:
        """The address of a socket."""
        return self._denial.pointed[: min(size, ADDRESS_SIZE)]

    def folder(self, fd: int) -> str:
        """The path of a descriptor, if the process still has it; empty for the working directory,
        because the path is as the program gave it."""
        if fd == -100:
            return ""
        try:
            return os.readlink(f"/proc/{self._denial.process}/fd/{signed(fd)}")
        except OSError:
            return ""


class Owners:
    """The owner of a process, by its control group: a container, a pod, a unit, a user. If the
    process is over, only the group that the kernel reported is known. Each engine is asked once for
    each container."""

    def __init__(self) -> None:
        self._known: LeastRecentlyUsed[str, Owner] = LeastRecentlyUsed(_OWNERS_KEPT)

    def of(self, pid: int, program: str, groups: Sequence[str]) -> Owner:
        """``groups``: its control group and those above it, the outermost first."""
        text = procfs.cgroup(pid)
        if all(line.endswith(":/") for line in text.splitlines()):  # it is gone, or in none
            text = f"0::/{'/'.join(groups)}\n"
        text = text.replace(" (deleted)\n", "\n")  # a dead process of a group that was removed
        place = parse_place(text)
        if place is not None:
            return self._of_container(pid, place)
        for line in text.splitlines():
            parts = line.split(":", 2)[-1].strip("/").split("/")
            if (owner := unit_or_user(parts)) is not None:
                return owner
        return _rootless(pid) or Owner(OwnerKind.PROGRAM, program)

    def _of_container(self, pid: int, place: Place) -> Owner:
        known = self._known.get(place.container)
        if known is None:
            known = _container(pid, place)
            self._known.put(place.container, known)
        return known


def unit_or_user(parts: Sequence[str]) -> Owner | None:
    """The unit or the user that owns a control group, by its path. Only slices are above a unit,
    unless its manager is in a group of its own."""
    inner_part = (".slice", *_UNIT)
    parts = list(dropwhile(lambda part: not part.endswith(inner_part), parts))
    slices = list(takewhile(lambda part: part.endswith(".slice"), parts))
    below = parts[len(slices) :]
    users = [match[1] for part in slices if (match := _USER_SLICE.fullmatch(part))]
    if users:
        name = _user(int(users[0]))
        inner = unit_or_user(below[1:]) if below and _MANAGER.fullmatch(below[0]) else None
        if inner is not None and inner.kind is OwnerKind.UNIT:
            return Owner(OwnerKind.USER, f"{name}, {inner.name}")
        return Owner(OwnerKind.USER, name)
    if below and below[0].endswith(_UNIT):
        return Owner(OwnerKind.UNIT, below[0])
    return None


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return f"uid {uid}"


def _container(pid: int, place: Place) -> Owner:
    """The engine's name for it; its id if no engine answers."""
    engines = [place.engine] if place.engine in registry.ENGINES else list(registry.ENGINES)
    if place.engine != "cri":
        for client in registry.clients():
            if client.engine in engines:
                with suppress(CapadviseError, subprocess.SubprocessError):
                    container = registry.quick(client).find(place.container)
                    if container is not None:
                        return _described(container)
        if (kept := _rootless(pid)) is not None:
            return kept
    short = place.container[:12]
    if place.engine == "cri" or place.pod:
        return _of_pod(place, short)
    return Owner(OwnerKind.CONTAINER, short, place.engine, container=place.container)


def _of_pod(place: Place, short: str) -> Owner:
    """The pod that the shim's bundle names; the container may be over."""
    kept = (one.container for one in node.containers() if one.container.id == place.container)
    item = next(kept, None) or node.created(place.container)
    if item is None:
        return Owner(OwnerKind.POD, short, "cri", pod=place.pod, container=place.container)
    pod = f"{item.namespace}/{item.pod}"
    return Owner(OwnerKind.POD, item.name, item.engine, pod=pod, container=place.container)


def _described(container: Container) -> Owner:
    project = container.labels.get(PROJECT_LABEL) if container.service else None
    return Owner(
        OwnerKind.CONTAINER,
        container.service if container.service and project else container.name,
        container.engine,
        project=project,
        container=container.id,
    )


def _rootless(pid: int) -> Owner | None:
    """A container of another user's podman: conmon's command line has its name."""
    running = target.below_conmon(pid)
    if running is None:
        return None
    known = running.target
    return Owner(OwnerKind.CONTAINER, known.name, known.engine, container=known.container)
