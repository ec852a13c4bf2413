"""From single events to distinct checks: who asked what where, how often, and what came of it.

Memory is bounded by the number of distinct checks, not of events: a fork loop has 400,000 pids
and an mmap loop a million checks a second.
"""

from __future__ import annotations

import errno
import os
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING

from capadvise.caps import Cap
from capadvise.linux import calls, procfs, refusals, ringbuffer
from capadvise.linux.pairing import Answered, Asked, Pairing, Types
from capadvise.linux.symbols import Symbols, call_site, syscall_of
from capadvise.linux.tasks import Key, Scope, Starts, Task
from capadvise.recording import Check, Namespace, Option, Phase, Refusal, Tally

if TYPE_CHECKING:
    from capadvise.posture import Mac

Page = tuple[int, bytes]

_RESULT = struct.Struct("<16xq")
EXEC = struct.Struct("<12xii")
"""What ``sched_process_exec`` begins with: the process, and what it was called."""

_OVERCOMMIT = ("security_vm_enough_memory_mm", "cap_vm_enough_memory", "__vm_enough_memory")
_DECIDING = frozenset(
    ["mode", "changes", "option", "arg2", "level", "name", "cmd", "flags", "signal", "request"]
)
_PORT_ROUNDS = 50
"""So many rounds a bound port is looked for in /proc: it is there at once, or was closed again."""
_DISTINCT_ARGUMENTS, _DISTINCT_PIDS = 32, 4096
"""So many different arguments of one call site are told apart; then only what can decide."""


@dataclass(slots=True)
class _Count:
    pid: int
    first: int
    last_pid: int = 0
    last: int = 0
    count: int = 0


class Aggregator:
    """Takes pages, gives checks."""

    def __init__(
        self,
        types: Types,
        symbols: Symbols,
        starts: Starts,
        root: int,
        uid: int,
        gid: int,
        *,
        retried: bool = False,
        opened_by: Mapping[str, Cap] = MappingProxyType({}),
    ) -> None:
        """``root`` is the process that is followed, with its ids. ``retried``: calls of capset
        are the retry tracer's, or told by it. ``opened_by``: calls that the target's seccomp
        filter would let through if it had this capability."""
        self.retried, self._opened_by = retried, opened_by
        self.types, self.symbols, self.starts, self.root = types, symbols, starts, root
        self.stopping = False
        """The target has been told to stop."""
        self.ports: dict[int, list[str]] = {}
        """Low ports by the process that bound them."""
        self._counts: dict[tuple[Key, int | None], _Count] = {}
        self._tasks = {root: Task("", calls.Ids(uid, uid, uid), calls.Ids(gid, gid, gid))}
        self._begun = False
        self._refused_pids: dict[int, Scope] = {}
        self.unnamed = 0
        """Calls that a filter answered with SIGSYS, and whose name was not seen."""
        self._begun_calls = frozenset(types.enters.values()) - calls.FILTERS.keys()
        self._ended: list[int] = []
        self._pairing = Pairing()
        self._sites: dict[bytes, tuple[tuple[str, ...], str | None]] = {}
        self._initial_namespace = symbols.address("init_user_ns")
        self._unstacked: dict[tuple[int, int], tuple[int, int, bytes]] = {}
        self._distinct: Counter[tuple[int, bytes, str]] = Counter()
        self._setid: dict[str, bool] = {}
        self._binders: dict[int, int] = {}

    def finish(self) -> None:
        """Nothing more will come: count the checks whose stack never arrived."""
        for time, pid, event in self._unstacked.values():
            self._event(time, self.types.check, pid, event, b"")
        self._unstacked = {}
        self._answered(self._pairing.settle_all())
        self._pairing.end_of_round()
        self._pairing.end_of_round()

    @property
    def unmatched(self) -> int:
        """Refusals of which nobody knows what was asked: lost questions."""
        return self._pairing.unmatched

    def feed(self, quiet: Iterable[Page], flood: Iterable[Page]) -> None:
        """One round of reading: the pages of the quiet buffer and of CAP_SYS_ADMIN's own.

        ``flood`` must have been read first, so that every process in it is known from ``quiet``.
        """
        for pid in self._ended:
            self._tasks.pop(pid, None)
        self._ended = []
        ordered: list[tuple[int, int, int, bytes, bytes]] = []
        noise: dict[tuple[bytes, bytes, int], list[int]] = {}
        for buffer, pages in ((0, quiet), (1, flood)):
            for cpu, page in pages:
                for time, kind, pid, event in ringbuffer.events(page):
                    if kind == self.types.check:
                        if bare := self._unstacked.pop((buffer, cpu), None):
                            ordered.append((bare[0], kind, bare[1], bare[2], b""))
                        self._unstacked[buffer, cpu] = (time, pid, event)
                    elif kind == self.types.stack:
                        waiting = self._unstacked.pop((buffer, cpu), None)
                        if waiting is None or waiting[1] != pid:
                            continue
                        stack = ringbuffer.stack(event)
                        if self._begun and self._is_overcommit(stack):
                            seen = noise.setdefault((waiting[2][8:], stack, pid), [waiting[0], 0])
                            seen[1] += 1
                        else:
                            ordered.append((waiting[0], self.types.check, pid, waiting[2], stack))
                    else:
                        ordered.append((time, kind, pid, event, b""))
        ordered.sort(key=lambda item: item[0])
        for time, kind, pid, event, stack in ordered:
            self._event(time, kind, pid, event, stack)
        for (raw, stack, pid), (time, count) in noise.items():
            asked = self.types.asked(time, pid, b"\0" * 8 + raw, stack)
            self._answered(self._pairing.many(asked, count))
        self._pairing.end_of_round()
        self._look_at_ports()

    def _event(self, time: int, kind: int, pid: int, event: bytes, stack: bytes) -> None:
        types = self.types
        if kind == types.check:
            self._answered(self._pairing.ask(types.asked(time, pid, event, stack)))
            return
        if kind == types.returned:
            self._answered(self._pairing.refuse(time, pid, *types.answer(event)))
            return
        self._answered(self._pairing.settle(pid))
        if kind in types.enters:
            task = self._task(pid)
            self._settle(pid, task)
            task.call, task.pending = types.enters[kind], []
            task.values = struct.unpack_from(f"<{(len(event) - 16) // 8}Q", event, 16)
            if task.scope is None:
                self.starts.called(pid, task, task.call, task.values)
        elif kind == types.sigsys:
            self._settle(pid, self._task(pid))
            self._task(pid).signalled = True
        elif kind in types.exits:
            self._exit_of_call(time, pid, types.exits[kind], _RESULT.unpack_from(event)[0])
        elif kind == types.fork:
            parent, child = types.fork_fields.unpack_from(event)
            above = self._task(parent)
            nested = above.nested or (above.call == "clone" and calls.makes_users(above.values[0]))
            self._tasks[child] = replace(above, call=None, values=(), pending=[], nested=nested)
        elif kind == types.exec:
            self._exec(time, event)
        elif kind == types.exit:
            self._settle(pid, self._task(pid))
            self._ended.append(pid)

    def _exec(self, time: int, event: bytes) -> None:
        pid, old_pid = EXEC.unpack_from(event)
        task = self._task(old_pid)
        self._tasks[pid] = task
        path = ringbuffer.text(event, self.types.exec_filename)
        if task.scope is None:
            self.starts.executed(time, pid, task, path)
        task.program = PurePosixPath(path).name or path
        task.looked = False
        if path not in self._setid and len(self._setid) < 4096:
            self._setid[path] = _is_setid(path)
        if task.scope is not None:
            task.scope.setid_exec |= self._setid.get(path, False)
            self._begun = True

    def _answered(self, answered: Iterable[Answered]) -> None:
        for asked, result, count in answered:
            self._check(asked, result, count)

    def _check(self, asked: Asked, result: int, count: int) -> None:
        cap, pid, stack = asked.cap, asked.pid, asked.stack
        task = self._task(pid)
        if not self._initial_namespace and self._is_overcommit(stack):
            self._initial_namespace = asked.namespace  # the kernel asks it against init_user_ns
        if task.scope is None:
            if cap == _SETPCAP:
                task.namespace = asked.namespace  # asked of a task's own namespace alone
            return
        if asked.time < task.since:
            return
        _, syscall = self._site(stack)
        if self.retried and syscall == "capset":
            return
        if syscall == "io_uring_setup":
            task.scope.io_uring = True
        args: tuple[tuple[str, int], ...] = ()
        if task.call is not None and task.call == syscall:
            args = self._arguments(task, cap, stack)
        key = Key(
            *(cap, result, asked.namespace, asked.options, stack, task.program),
            *(task.uids.effective, Phase.STOP if self.stopping else task.phase, args),
            task.scope.number,
        )
        self._count(key, None, pid, asked.time, count)
        if syscall in calls.RESULTS or syscall in calls.REFUSABLE:
            task.pending.append(key)
            del task.pending[:-16]
        if cap == _NET_BIND_SERVICE and result == 0:
            self._binders[pid] = _PORT_ROUNDS

    def _count(self, key: Key, result: int | None, pid: int, time: int, count: int) -> _Count:
        known = self._counts.get((key, result))
        if known is None:
            known = self._counts[key, result] = _Count(pid, time)
        known.count += count
        known.last_pid, known.last = pid, time
        return known

    def _arguments(self, task: Task, cap: int, stack: bytes) -> tuple[tuple[str, int], ...]:
        assert task.call is not None
        args = calls.arguments(task.call, task.values, task.uids, task.gids)
        args.pop("pid", None)
        found = tuple(args.items())
        where = (cap, stack, task.program)
        if self._distinct[where] >= _DISTINCT_ARGUMENTS:
            return tuple(item for item in found if item[0] in _DECIDING)
        self._distinct[where] += 1
        return found

    def _exit_of_call(self, time: int, pid: int, call: str, result: int) -> None:
        task = self._task(pid)
        if task.call == call and result == 0:
            args = calls.arguments(call, task.values, task.uids, task.gids)
            if calls.sets_uids(call):
                task.uids = task.uids.after(call, args)
            elif calls.sets_gids(call):
                task.gids = task.gids.after(call, args)
        if call == "capget" and task.call == call:
            # With a null pointer it only asks for the version, as programs do that then demand a
            # fixed set; those that look first adapt to what they have.
            task.looked |= bool(task.values[1])
        scope = task.scope
        if call == "capset" and result == 0 and scope is not None and not task.looked:
            task.looked = True  # what comes later takes away from this set
            with suppress(OSError):
                scope.own_sets[task.program, procfs.capability_sets(pid).permitted] = None
        denied = []
        for key in task.pending:
            if self._site(key.stack)[1] == call:
                waiting = self._counts[key, None]
                waiting.count -= 1
                moved = self._count(key, min(result, 0), waiting.pid, waiting.first, 1)
                moved.last_pid, moved.last = waiting.last_pid, waiting.last
                if key.ret != 0:
                    denied.append((key.cap, key.namespace, key.stack))
        if call in ("unshare", "setns") and task.call == call and result == 0:
            task.nested |= calls.makes_users(task.values[calls.ARGUMENTS[call]["flags"]])
        entered = task.call == call if self._is_begun(call, result) else None
        if entered is False and -result in calls.REFUSED and call in self._opened_by and scope:
            self._closed(time, pid, task, call)
        if task.signalled:
            self._refused(pid, task, call, refusals.SIGSYS, False, ())
        elif -result in calls.refusing(call) or (entered is False and result < 0):
            self._refused(pid, task, call, -result, entered, tuple(dict.fromkeys(denied)))
        task.call, task.pending, task.signalled = None, [], False

    def _is_begun(self, call: str, result: int) -> bool:
        """Whether the begin of a call is recorded: one that ends without was answered by a seccomp
        filter, which the kernel asks first (syscall_trace_enter() of kernel/entry/common.c). clone
        is recorded where it makes namespaces, and only that is not permitted (EPERM)."""
        if call == "clone":
            return result == -errno.EPERM
        return call in self._begun_calls

    def _settle(self, pid: int, task: Task) -> None:
        """After SIGSYS, the end of the call is the next thing that is seen of a task, if it is
        seen at all."""
        if task.signalled:
            task.signalled = False
            self.unnamed += 1
            self._refused(pid, task, refusals.UNKNOWN_CALL, refusals.SIGSYS, False, ())

    def scope_of(self, pid: int) -> Scope | None:
        """Whose a process is or was, as far as was read."""
        task = self._tasks.get(pid)
        return self._refused_pids.get(pid) if task is None else task.scope

    def _refused(
        self,
        pid: int,
        task: Task,
        call: str,
        code: int,
        entered: bool | None,
        denied: tuple[tuple[int, int, bytes], ...],
    ) -> None:
        if task.scope is not None:
            if len(self._refused_pids) < _DISTINCT_PIDS:
                self._refused_pids[pid] = task.scope
            uid = task.uids.effective
            raw = refusals.Raw(call, code, task.program, uid, entered, denied, task.nested)
            refusals.count(task.scope.refusals, raw)

    def _closed(self, time: int, pid: int, task: Task, call: str) -> None:
        """The seccomp filter has answered in the kernel's place: the runtime made it of what the
        container holds, so it stands for a check that was refused."""
        assert task.scope is not None
        place = f"{SECCOMP}:{call}".encode()
        self._sites[place] = (SECCOMP,), call
        key = Key(
            cap=int(self._opened_by[call]),
            ret=-errno.EPERM,
            namespace=_ITS_OWN,
            options=None,
            stack=place,
            program=task.program,
            uid=task.uids.effective,
            phase=Phase.STOP if self.stopping else task.phase,
            args=(),
            scope=task.scope.number,
        )
        self._count(key, -errno.EPERM, pid, time, 1)

    def adopt(self, pid: int, scope: Scope | None) -> Task:
        """A thread that ran before it was followed."""
        found = procfs.ids(pid)
        root = self._tasks.get(self.root)
        nobody = calls.Ids(0, 0, 0)
        uids, gids = (root.uids, root.gids) if root else (nobody, nobody)
        if found is not None:
            uids, gids = calls.Ids(*found[0]), calls.Ids(*found[1])
        program = procfs.comm(procfs.process_of(pid) or pid)  # threads have names of their own
        task = self._tasks[pid] = Task(program, uids, gids, scope)
        self._begun |= scope is not None
        return task

    def enter(self, pid: int, scope: Scope | None) -> None:
        """A thread was found in a container; without a scope it belongs there from its next exec
        on, as a runtime does."""
        task = self._tasks.get(pid) or self.adopt(pid, scope)
        if task.scope is None:
            task.scope, task.inside = scope, True

    def knows(self, pid: int) -> bool:
        """Whether a thread is followed, as far as was read."""
        return pid in self._tasks

    def belonging(self, scope: Scope) -> list[int]:
        """The threads of a scope that have not ended, as far as was seen."""
        return [pid for pid, task in self._tasks.items() if task.scope is scope]

    def _task(self, pid: int) -> Task:
        return self._tasks.get(pid) or self.adopt(pid, self.starts.unknown(pid))

    def _site(self, stack: bytes) -> tuple[tuple[str, ...], str | None]:
        if stack not in self._sites:
            site = call_site(self.symbols, stack)
            self._sites[stack] = site, syscall_of(site)
        return self._sites[stack]

    def _is_overcommit(self, stack: bytes) -> bool:
        site, _ = self._site(stack)
        return any(frame in _OVERCOMMIT for frame in site[:2])

    def _look_at_ports(self) -> None:
        """Which low ports were bound: pointers are not decoded, but /proc shows the sockets."""
        for pid, rounds in list(self._binders.items()):
            found = procfs.low_ports(pid)
            if found:
                self.ports[pid] = found
            if found or rounds == 1:
                del self._binders[pid]
            else:
                self._binders[pid] = rounds - 1

    @property
    def distinct(self) -> int:
        """How many distinct checks there are so far."""
        return len(self._counts)

    def tallies(self) -> tuple[Tally, ...]:
        """How often each capability was asked for so far, and by whom last."""
        counts: Counter[int] = Counter()
        latest: dict[int, tuple[Key, int | None, _Count]] = {}
        for (key, result), known in self._counts.items():
            if known.count > 0:
                cap = key.cap
                counts[cap] += known.count
                if cap not in latest or known.last >= latest[cap][2].last:
                    latest[cap] = key, result, known
        return tuple(
            Tally(
                counts[cap],
                replace(self._as_check(0, *latest[cap], _NO_SCOPE), pid=latest[cap][2].last_pid),
            )
            for cap in counts
        )

    def checks(self, scope: Scope) -> tuple[Check, ...]:
        """All distinct checks, in the order in which they first appeared."""
        found = sorted(
            (
                item
                for item in self._counts.items()
                if item[1].count > 0 and item[0][0].scope == scope.number
            ),
            key=lambda item: item[1].first,
        )
        return tuple(
            self._as_check(number, key, result, count, scope)
            for number, ((key, result), count) in enumerate(found, start=1)
        )

    def _as_check(
        self, number: int, key: Key, result: int | None, count: _Count, scope: Scope
    ) -> Check:
        site, syscall = self._site(key.stack)
        detail = calls.detail(syscall, dict(key.args)) if syscall and key.args else None
        if key.cap == _NET_BIND_SERVICE and count.pid in self.ports:
            detail = ", ".join(self.ports[count.pid])
        return Check(
            id=number,
            cap=Cap(key.cap),
            granted=key.ret == 0,
            ns=self._namespace(key.namespace, scope),
            site=site,
            program=key.program,
            pid=count.pid,
            count=count.count,
            first=max(0.0, round((count.first - scope.started) / 1e9, 3)),
            syscall=syscall,
            result=result,
            args=key.args,
            detail=detail,
            uid=key.uid,
            phase=key.phase,
            options=None if key.options is None else _options(key.options),
        )

    def _namespace(self, pointer: int, scope: Scope) -> Namespace:
        own = scope.namespace or self._initial_namespace
        if not own:
            return Namespace.OTHER
        if pointer in (own, _ITS_OWN):
            return Namespace.TARGET
        above = pointer == self._initial_namespace or pointer in scope.above
        return Namespace.HOST if above else Namespace.CHILD

    def refusals(self, scope: Scope, mac: Mac | None = None) -> tuple[Refusal, ...]:
        """Refused calls, and who refused; ``mac`` is what confines the target."""
        return refusals.attributed(
            scope.refusals,
            lambda stack: self._site(stack)[0],
            lambda pointer: self._namespace(pointer, scope),
            self.checks(scope),
            mac,
        )


_NO_SCOPE = Scope(0, 0, 0)


_ITS_OWN = 1
"""Stands for the address of whatever user namespace the target is in."""
SECCOMP = "__seccomp_filter"
"""The kernel function that refuses for a seccomp filter."""
_SETPCAP = Cap.parse("SETPCAP")
_NET_BIND_SERVICE = Cap.parse("NET_BIND_SERVICE")


def _options(bits: int) -> tuple[Option, ...]:
    """CAP_OPT_NOAUDIT and CAP_OPT_INSETID, linux/security.h."""
    return tuple(option for bit, option in ((2, Option.NOAUDIT), (4, Option.INSETID)) if bits & bit)


def _is_setid(path: str) -> bool:
    """Whether an exec of this file can change its identity: set-id bits or file capabilities."""
    with suppress(OSError):
        if os.stat(path).st_mode & 0o6000:
            return True
        return bool(os.getxattr(path, "security.capability"))
    return False
