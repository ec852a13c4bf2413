"""From what the kernel tells of refused checks and calls, and from its audit records, to refused
calls with the names of things."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from capadvise.judgement.watched import WatchedCall
from capadvise.kernel import procfs, syscalls
from capadvise.kernel.syscalls import signature, signed
from capadvise.model.caps import Cap, from_mask
from capadvise.model.recording import UNKNOWN_CALL, Check, Namespace, RefusedBy, Told
from capadvise.observe.audit.denials import Denial
from capadvise.observe.ftrace import denial_programs
from capadvise.observe.ftrace.denial_programs import ADDRESS_SIZE
from capadvise.observe.ftrace.denials import RefusedCheck
from capadvise.observe.ftrace.kallsyms import Symbols, call_site, syscall_of
from capadvise.observe.retry import decode
from capadvise.targets.running.owners import Owners

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
            return self._without_check(first, name)
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

    def _without_check(self, first: RefusedCheck, name: str) -> WatchedCall:
        error = errno.errorcode.get(first.error, "EPERM") if first.error else "SIGSYS"
        return replace(self._seen(first, name), errno=error, entered=not first.filtered)

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
        """What audit records say. Of a process that is over, they do not say whose it was."""
        for denial in denials:
            if denial.by is not RefusedBy.UNKNOWN:  # of those, only their errors are known
                yield self._audited(denial, denial.pid or 0)

    def logged(self, denials: Iterable[Denial]) -> Iterator[WatchedCall]:
        """What an audit log says. Since then, another process can have got the number."""
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


def _call_of(denial: RefusedCheck) -> tuple[object, ...]:
    """The checks of one call follow each other. A server can make the same call for one user after
    the other."""
    return denial.thread, denial.call, denial.arguments, denial.uids, denial.cap is None


def _namespace(relation: int) -> Namespace:
    if relation & denial_programs.OWN:
        return Namespace.TARGET
    return Namespace.HOST if relation & denial_programs.OUTSIDE else Namespace.OTHER


def about(call: str, denial: RefusedCheck) -> str:
    """What the arguments say. Hostile."""
    arguments = (*denial.arguments, *[0] * 6)
    try:
        return (decode.detail(call, arguments, _Memory(call, denial)) or "")[:_ABOUT]
    except (ValueError, IndexError):
        return ""


class _Memory:
    """See ``decode.Memory``: only what was read at the call, and what /proc still tells."""

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
        """What a descriptor stands for, if the process still has it; the working directory is left
        out: the path is as the program gave it."""
        if fd == -100:
            return ""
        try:
            return os.readlink(f"/proc/{self._denial.process}/fd/{signed(fd)}")
        except OSError:
            return ""
