"""From single events to distinct checks: the thread that was checked, its call, its target."""

import errno
import os
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from capadvise.kernel import syscalls
from capadvise.model.caps import Cap
from capadvise.model.recording import UNKNOWN_CALL, Check, DeniedCheck, Phase, RefusedCall, Tally
from capadvise.observe.ftrace import ringbuffer
from capadvise.observe.ftrace.check_events import (
    EXEC,
    Answered,
    Asked,
    Event,
    EventSorter,
    Noise,
    Page,
    Pairing,
    Types,
)
from capadvise.observe.ftrace.kallsyms import Symbols
from capadvise.observe.ftrace.pointers import Pointers
from capadvise.observe.tracking import distinct_checks, implied_needs
from capadvise.observe.tracking.distinct_checks import DistinctChecks
from capadvise.observe.tracking.tasks import (
    Denied,
    Key,
    OneCommand,
    RawRefusal,
    Repeat,
    Scope,
    Starts,
    Task,
)

_RESULT = struct.Struct("<16xq")
_SETPCAP = Cap.parse("SETPCAP")
_SIGSYS = 0
"""In the place of a refused call's error number: the process was sent this signal instead."""
_MOST_PIDS = 100_000
_DISTINCT_REFUSALS = _DISTINCT_PIDS = 4096


class Tracker:
    """Takes pages of events, and returns checks."""

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
        early: Callable[[int, str], None] | None = None,
        pointers: Pointers | None = None,
    ) -> None:
        """``root`` is the process that is followed, with its ids. ``retried``: calls of capset
        are the retry tracer's, or reported by it. ``opened_by``: calls that the target's seccomp
        filter would let through with this capability. ``early`` is called for each exec once it
        was read."""
        self.retried, self._opened_by = retried, opened_by
        self.types, self.starts, self.root = types, starts, root
        self._stopping: int | None = None
        ids = syscalls.Ids(uid, uid, uid), syscalls.Ids(gid, gid, gid)
        self._tasks = {each: Task("", *ids) for each in (types.canary, root)}
        self.canaries: Counter[int] = Counter()
        self._refused: dict[int, Scope] = {}
        """The scopes of threads that calls were refused to; they may have ended."""
        self.pids = {root}
        """All threads that it had, as far as they are kept."""
        self.unnamed = 0
        """Calls that a filter answered with SIGSYS, and whose name was not seen."""
        self._ended: set[int] = set()
        self._ended_before: set[int] = set()
        """Those of a round ago: their counted checks come now."""
        self._pairing = Pairing()
        before = starts.before if isinstance(starts, OneCommand) else None
        known = None if before is None else self._tasks.get
        by_tracepoint = types.within_fields is not None
        self.counts = DistinctChecks(symbols, known, tells_within=by_tracepoint)
        sighted = self._sighted if early else None
        self._order = EventSorter(types, self.counts.is_overcommit, sighted)
        self._early, scans = early, types.scan is not None
        self._implied = implied_needs.ImpliedNeeds(
            *(self.counts, self.knows, pointers or Pointers(), before),
            retried=retried,
            scans_told=scans,
            copies_told=by_tracepoint or retried,
        )

    def finish(self) -> None:
        """Nothing more will come: count the checks whose stack never arrived."""
        self._implied.note_lookups(self._tasks)
        self._count(*self._order.rest())
        self._implied.finish(self._tasks)
        self._answered(self._pairing.settle_all())
        self._pairing.end_of_round()

    @property
    def unmatched(self) -> int:
        """Refusals whose checks were lost."""
        return self._pairing.unmatched

    def cautions(self) -> tuple[str, ...]:
        """Cautions for the user."""
        return (*self.counts.cautions, *self._implied.cautions)

    def feed(self, before: Iterable[Page], flood: Iterable[Page], after: Iterable[Page]) -> bool:
        """Take one round of reading, see ``EventSorter.take``; checks of memory accounting are
        counted with the next one. False if there was more than one round takes."""
        self._count(*self._order.take(before, flood, after))
        return self._order.complete

    def _count(self, events: Iterable[Event], noise: Noise) -> None:
        for event in events:
            try:
                self._event(*event)
            except (struct.error, ValueError):  # shorter than its format says
                self.counts.malformed += 1
        for (raw, stack, pid), (time, count) in noise.items():
            asked = self.types.asked(time, pid, b"\0" * 8 + raw, stack)
            self._answered(self._pairing.many(asked, count))
        self._pairing.end_of_round()
        self._implied.note_lookups(self._tasks)
        for pid in self._ended_before:
            self._tasks.pop(pid, None)
        self._ended_before, self._ended = self._ended, set()
        self.counts.shown.look(self._tasks)

    def _event(self, time: int, kind: int, pid: int, event: bytes, stack: bytes) -> None:
        types = self.types
        if kind == types.check:
            if not self._is_repeated(time, pid, event[8:], stack):
                self._answered(self._pairing.ask(types.asked(time, pid, event, stack)))
            return
        if kind == types.returned:
            self._answered(self._pairing.refuse(time, pid, *types.answer(event)))
            return
        if types.returned is not None:  # else each check came with its answer
            self._answered(self._pairing.settle(pid))
        if (call := types.enters.get(kind)) is not None:  # these two are most of what comes
            self._begin_of_call(time, pid, call, event)
        elif (call := types.exits.get(kind)) is not None:
            self._exit_of_call(time, pid, call, _RESULT.unpack_from(event)[0])
        elif kind == types.scan:
            (task := self._task(pid)).note_scan(task.program)
        elif kind == types.sigsys:
            self._settle(pid, task := self._task(pid))
            task.signalled = True
        elif kind == types.fork:
            parent, child = types.fork_fields.unpack_from(event)
            above = self._task(parent)
            self._tasks[child] = above.forked(parent)
            if above.call == "clone":
                if syscalls.makes_users(above.values[0]):
                    above.note_users_made()
                above.end()  # this is recorded only where it fails
            self._lives(child)
        elif kind == types.exec:
            self._exec(time, event)
        elif kind == types.exit:
            self._settle(pid, self._task(pid))
            self._ended.add(pid)

    def _sighted(self, event: bytes) -> None:
        assert self._early is not None
        path = ringbuffer.text(event, self.types.exec_filename)
        self._early(EXEC.unpack_from(event)[0], path)

    def _exec(self, time: int, event: bytes) -> None:
        pid, old_pid = EXEC.unpack_from(event)
        task = self._task(old_pid)
        self._tasks[pid] = task
        self._lives(pid)  # the first thread made way for the one that exec'd
        path = ringbuffer.text(event, self.types.exec_filename)
        if task.scope is None:
            self.starts.executed(time, pid, task, path)
        self._implied.executes(task)
        task.become(os.path.basename(path) or path, pid)
        if task.scope is not None:
            self._implied.executed(pid, task, task.scope, path)
            self._order.begun = True

    def _lives(self, pid: int) -> None:
        if len(self.pids) < _MOST_PIDS:
            self.pids.add(pid)
        self._ended.discard(pid)
        self._ended_before.discard(pid)

    def _answered(self, answered: Iterable[Answered]) -> None:
        for asked, result, count in answered:
            self._check(asked, result, count)

    def _key(self, asked: Asked, result: int, task: Task, scope: Scope, syscall: str | None) -> Key:
        args: tuple[tuple[str, int], ...] = ()
        if task.call is not None and task.call == syscall:
            args = self.counts.arguments(task, asked.cap, asked.stack)
        return Key(
            *(asked.cap, result, asked.namespace, asked.options, asked.stack, task.program),
            *(task.uids.effective, self._phase(asked.time, task), args),
            scope.number,
            asked.within if asked.within != asked.namespace else 0,
            task.nested and result != 0,
        )

    def _is_repeated(self, time: int, pid: int, raw: bytes, stack: bytes) -> bool:
        """Count a check that a thread makes again; False for others."""
        task = self._tasks.get(pid) if self._stopping is None else None
        return task is not None and task.repeats_check((raw, stack), pid, time)

    def _check(self, asked: Asked, result: int, count: int) -> None:
        time, pid, cap, stack = asked.time, asked.pid, asked.cap, asked.stack
        task = self._task(pid)
        if not self.counts.initial_namespace and self.counts.is_overcommit(stack):
            self.counts.initial_namespace = asked.namespace  # it is about init_user_ns
        if task.scope is None:
            self._check_outside(asked, task, count)
            return
        if time < task.since or not 0 <= cap < 64:  # no capability: the page is damaged
            return
        syscall = self.counts.call(stack, task)
        if self.retried and syscall == "capset":
            return
        task.scope.io_uring |= syscall == "io_uring_setup"
        key = self._key(asked, result, task, task.scope, syscall)
        self.counts.note_namespace(asked.namespace, asked.within, stack)
        counted = self.counts.add(key, None, pid, time, count)
        if waits := syscall in syscalls.RESULTS or syscall in syscalls.REFUSABLE:
            task.wait_for_result(key)
        if asked.answer is not None and (result != 0 or cap not in distinct_checks.CAPS):
            task.note_check((asked.raw, stack), Repeat(key, counted, waits))
        elif result == 0:
            self.counts.shown.allowed(task.scope, pid, cap, stack, first=counted.pid == pid)

    def _check_outside(self, asked: Asked, task: Task, count: int) -> None:
        """A check of a thread that belongs to no target."""
        if asked.pid == self.types.canary and not self.counts.is_overcommit(asked.stack):
            self.canaries[asked.cap] += count
        if asked.cap == _SETPCAP:
            task.namespace = asked.namespace  # checked against a task's own namespace alone

    def _begin_of_call(self, time: int, pid: int, call: str, event: bytes) -> None:
        self._settle(pid, task := self._task(pid))
        values = struct.unpack_from(f"<{(len(event) - 16) // 8}Q", event, 16)
        task.begin(call, values)
        if call == "mmap":
            self._implied.maps_low(time, pid, task, self._phase(time, task))
        if task.scope is None:
            self.starts.called(pid, task, call, values)

    def _exit_of_call(self, time: int, pid: int, call: str, result: int) -> None:
        task = self._task(pid)
        if result == syscalls.INTERRUPTED:
            task.end()  # and it is made again
            return
        began = task.call == call  # not all begins are recorded
        if call == "setsid" and result > 0:
            task.leads_session(pid, self._tasks.get(result), self._tasks.values())
        if began and result == 0 and call in syscalls.SET_IDS:
            task.take_ids(call)
        if call in implied_needs.CALLS:
            self._implied.ended(time, pid, task, call, result, self._phase(time, task))
        denied = self._settle_checks(task, call, result) if task.pending else ()
        if began and result == 0:
            task.take_namespaces(call)
        failed = result < 0 or task.signalled
        if failed and time >= task.since:  # else no check of it is counted, see adopt()
            self._note_refusal(time, pid, task, call, result, denied)
        task.end()

    def _settle_checks(self, task: Task, call: str, result: int) -> tuple[Denied, ...]:
        """Give the checks of a call its result; those that were denied."""
        denied: dict[Denied, None] = {}
        for key in task.pending:
            if self.counts.site(key.stack)[1] == call:
                self.counts.settle(key, min(result, 0))
                if key.ret != 0:
                    denied[key.cap, key.namespace, key.stack] = None
        return tuple(denied)

    def _note_refusal(
        self,
        time: int,
        pid: int,
        task: Task,
        call: str,
        result: int,
        denied: tuple[Denied, ...],
    ) -> None:
        """A call that has failed; ``entered``: it got past the seccomp filter, if that is known."""
        entered, begins = True if task.call == call else None, self.types.enters
        if not entered and self._order.lossless and _is_begun(call, result, begins):
            entered = False
        filtered = entered is False and -result in syscalls.REFUSED
        if filtered and call in self._opened_by and task.scope:
            phase = self._phase(time, task)
            self.counts.add_seccomp_denied(time, pid, task, call, self._opened_by[call], phase)
        if task.signalled:
            self._count_refusal(pid, task, call, _SIGSYS, False, ())
        elif -result in syscalls.refusing(call) or (entered is False and result < 0):
            self._count_refusal(pid, task, call, -result, entered, denied)

    def _count_refusal(
        self,
        pid: int,
        task: Task,
        call: str,
        code: int,
        entered: bool | None,
        denied: tuple[Denied, ...],
    ) -> None:
        """Count a call that has failed with this error; a later step judges the cause. Kinds beyond
        a limit are counted as one, without their checks. ``entered``: see ``_note_refusal``."""
        if task.scope is None:
            return
        if len(self._refused) < _DISTINCT_PIDS:
            self._refused[pid] = task.scope
        if (call, code, entered, denied) == ("execve", errno.EPERM, True, ()):
            self._implied.exec_refused(pid, task)
        refusals, uid = task.scope.refusals, task.uids.effective
        raw = RawRefusal(call, code, task.program, uid, entered, denied, task.nested)
        if raw not in refusals and len(refusals) >= _DISTINCT_REFUSALS:
            raw = raw._replace(program="?", uid=0, denied=())
        refusals[raw] += 1

    def _settle(self, pid: int, task: Task) -> None:
        """After SIGSYS, the end of the call is what is seen next of a task, if anything is."""
        if task.signalled:
            task.signalled = False
            self.unnamed += 1
            self._count_refusal(pid, task, UNKNOWN_CALL, _SIGSYS, False, ())

    def scope_of(self, pid: int) -> Scope | None:
        """The scope that a process is or was in, as far as was read."""
        return task.scope if (task := self._tasks.get(pid)) else self._refused.get(pid)

    def adopt(self, pid: int, scope: Scope | None) -> Task:
        """A thread that ran before it was followed."""
        task = self._tasks[pid] = Task.of_running(pid, scope, self._tasks.get(self.root))
        self._order.begun |= scope is not None
        return task

    def enter(self, pid: int, scope: Scope | None) -> None:
        """Add a thread that is in a container; without a scope it belongs there from its next exec
        on, as a runtime does."""
        task = self._tasks.get(pid) or self.adopt(pid, scope)
        if task.scope is None:
            task.scope, task.inside = scope, True

    def knows(self, pid: int) -> bool:
        """True if a thread is followed, as far as was read."""
        return pid in self._tasks

    def belonging(self, scope: Scope) -> list[int]:
        """The threads of a scope that have not ended, as far as was seen."""
        ended = self._ended | self._ended_before
        return [
            pid for pid, task in self._tasks.items() if task.scope is scope and pid not in ended
        ]

    def _task(self, pid: int) -> Task:
        return self._tasks.get(pid) or self.adopt(pid, self.starts.unknown(pid))

    def _phase(self, time: int, task: Task) -> Phase:
        """The phase of a check. A service that began later, as it waited for another one, is not
        being stopped."""
        began, stop = task.scope.started if task.scope else 0, self._stopping
        stopping = stop is not None and began <= stop <= time
        return Phase.STOP if stopping and task.phase is Phase.RUN else task.phase

    def note_stopping(self, time: int | None) -> None:
        """The target's stop began, at this time by the events' clock; None: it goes on."""
        self._stopping = time
        for task in self._tasks.values():
            task.repeats.clear()  # the same check belongs to another phase now

    @property
    def distinct(self) -> int:
        """How many distinct checks there are so far."""
        return self.counts.distinct

    def tallies(self) -> tuple[Tally, ...]:
        """How often each capability was checked so far, and the last such check."""
        return self.counts.tallies()

    def checks(self, scope: Scope) -> tuple[Check, ...]:
        """All distinct checks of a target, in the order in which they first appeared."""
        return self.counts.checks(scope)

    def refused_calls(self, scope: Scope) -> tuple[RefusedCall, ...]:
        """The refused calls of a target, with names for the kernel's numbers and addresses."""
        counts: Counter[RefusedCall] = Counter()
        site, namespace = self.counts.site, self.counts.namespace
        for raw, times in scope.refusals.items():
            denied = tuple(
                dict.fromkeys(
                    DeniedCheck(Cap(cap), site(stack)[0], namespace(pointer, scope))
                    for cap, pointer, stack in raw.denied
                )
            )
            code = "SIGSYS" if raw.code == _SIGSYS else errno.errorcode[raw.code]
            given = raw.call, code, raw.program, 0, raw.uid, raw.entered, denied, raw.nested
            counts[RefusedCall(*given)] += times
        return tuple(call.counted(times) for call, times in counts.items())


def _is_begun(call: str, result: int, begins: Mapping[int, str]) -> bool:
    """True if the begin of a call is recorded: a seccomp filter, which runs first, answered a call
    that ends without a begin (syscall_trace_enter() of kernel/entry/common.c). clone is recorded if
    it makes namespaces, and only that is not permitted (EPERM)."""
    if call == "clone":
        return result == -errno.EPERM
    return call in begins.values() and call not in syscalls.FILTERS
