"""The tracer: a program of its own, since python-ptrace is GPL. It never meets python-prctl.

Run as ``tracer.py PLAN_FD SAY_FD REPORT_FD PATH…`` by the guardian: reads a plan, seizes the held
target, answers with the seccomp filter that the target is to install, and follows the tree until
its last thread is gone. If it dies, the kernel kills what it traces (PTRACE_O_EXITKILL).

A call stops at its entry (seccomp) and at its end; with BPF only at a failure: see ``failing``. If
a missing capability can explain the error, the call is made again: the tracer turns the same
instruction into a capset, raises a candidate, and lets the thread make the call again. It lowers
the set when the next call of interest begins. A signal that arrives in between is delivered first,
as if nothing had been tried.
"""

import gc
import json
import os
import resource
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path += sys.argv[4:]  # where capadvise and ptrace are: started with -I -S, it has no path

from ptrace.binding import func

from capadvise.kernel import json_lines, seccomp_program
from capadvise.kernel.uapi import WALL
from capadvise.observe.ftrace import ringbuffer
from capadvise.observe.ftrace.check_events import STACK_POINTER_STEP
from capadvise.observe.retry import calls, machine
from capadvise.observe.retry.arguments import makes_namespace
from capadvise.observe.retry.bookkeeping import Bookkeeping
from capadvise.observe.retry.calls import Interface
from capadvise.observe.retry.failing import SIGNAL, FailingCalls
from capadvise.observe.retry.machine import CONT, EVENT_SECCOMP, EVENT_STOP, SYSCALL, Injector
from capadvise.observe.retry.policy import (
    RESUME,
    Action,
    BeginWith,
    Detach,
    Interrupt,
    Policy,
    Resume,
    RetryWith,
    telling_errors,
)
from capadvise.observe.retry.proc_view import ProcView
from capadvise.observe.retry.processors import Processor, Registers
from capadvise.observe.retry.thread import CallStep, Gone, Thread
from capadvise.observe.retry.tree import EvidenceLog, Tree

_KEPT, _THREADS = 32, 4096
"""The most events that are kept for a thread, and the most threads."""
_PAGES = 64
"""More pages than the buffer has (``instances.DENIED_KB``)."""


class RefusedChecks:
    """The checks that the kernel refused, from the trace buffer that the plan names. CAP_SYS_ADMIN
    is not in the buffer, since it is refused at every mmap; the buffer is small and overwrites old
    events, so that reading it costs little."""

    def __init__(self, plan: dict[str, Any] | None) -> None:
        self._plan = plan
        self._pages: list[int] = []
        self._waiting: dict[int, deque[tuple[int, int, bytes]]] = {}
        """Thread → its events (time, type, event) that were not taken yet."""

    def _open(self, plan: dict[str, Any]) -> None:
        folder = Path(plan["folder"])
        self._pages = [
            os.open(cpu / "trace_pipe_raw", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            for cpu in sorted((folder / "per_cpu").iterdir())
        ]
        check = _format(folder, plan["check"])
        self._event, self._cap = check.id, check.unpacker("cap")
        self._returned = 0
        if plan["returned"]:  # the refusal comes apart: see ``probes``
            self._pointer = check.unpacker("sp")
            returned = _format(folder, plan["returned"])
            self._returned, self._return_pointer = returned.id, returned.unpacker("sp")

    def since(self, tid: int, began: int) -> list[int] | None:
        """The capabilities refused to a thread since then (ns of CLOCK_MONOTONIC), in order; None
        if that is not observed, or events were lost."""
        if self._plan is None:
            return None
        if not self._pages:  # the buffer is made while the target is held
            self._open(self._plan)
        complete = self._take_in()
        mine = self._waiting.pop(tid, ())
        events = sorted((item for item in mine if item[0] >= began), key=lambda item: item[0])
        return list(self._refused(events)) if complete else None

    def _take_in(self) -> bool:
        """Read all events, and keep them by thread; False if some were lost."""
        complete = True
        for fd in self._pages:
            for _ in range(_PAGES):  # others of the tree may be refused faster than we read
                if not (page := self._read(fd)):
                    break
                complete &= not ringbuffer.missed(page)
                for when, kind, pid, event in ringbuffer.events(page):
                    self._waiting.setdefault(pid, deque(maxlen=_KEPT)).append((when, kind, event))
        while len(self._waiting) > _THREADS:
            del self._waiting[next(iter(self._waiting))]
        return complete

    def _refused(self, events: Iterable[tuple[int, int, bytes]]) -> Iterator[int]:
        asked: dict[int, int] = {}
        for _, kind, event in events:
            if kind == self._event:
                (cap,) = self._cap.unpack_from(event)
                if self._returned:
                    asked[self._pointer.unpack_from(event)[0] + STACK_POINTER_STEP] = cap
                else:
                    yield cap
            elif kind == self._returned:
                cap = asked.pop(self._return_pointer.unpack_from(event)[0], None)
                if cap is not None:
                    yield cap

    @staticmethod
    def _read(fd: int) -> bytes:
        try:
            return os.read(fd, 1 << 16)
        except BlockingIOError:
            return b""


def _format(folder: Path, event: str) -> ringbuffer.EventFormat:
    """The same as ``tracefs.format_of``, which imports more modules."""
    path = folder / "events" / event.replace(":", "/") / "format"
    return ringbuffer.parse_format(path.read_text())


_FREE, _CALL, _INJECT, _SKIP, _AGAIN, _ARMED = CallStep
"""Python looks up a member of an enumeration slowly."""


class CallStops:
    """The stops of all threads at the entry and the end of calls. Each stopped call passes here up
    to twice, so only what is needed is read."""

    def __init__(
        self,
        tree: Tree,
        interfaces: Mapping[int, Interface],
        injector: Injector,
        policy: Policy,
        perform: Callable[[Thread, Action], None],
        failing: FailingCalls | None,
    ) -> None:
        """``failing``: the means to stop a call only at its failure, if there is one."""
        self.tree, self.interfaces, self.injector = tree, interfaces, injector
        self.policy, self.perform, self.failing = policy, perform, failing

    def filtered(self, thread: Thread) -> None:
        """The filter stopped a call at its entry."""
        if thread.step is _INJECT:
            thread.entered = True
            machine.op(SYSCALL, thread.tid)
        elif thread.step is _CALL:  # seen at its entry already, without the filter
            machine.op(SYSCALL, thread.tid)
        else:
            self.entry(thread, machine.call_info(thread.tid), filtered=True)

    def failed(self, thread: Thread) -> None:
        """It was armed, and its call has failed. If its registers do not show that, the signal came
        late; an interrupt can have brought it."""
        _, result = self._came_back(thread, interrupted=True)
        thread.step = _FREE
        if result is None:
            self.injector.resume(thread)
        else:
            self._after(thread, result)

    def interrupted(self, thread: Thread) -> None:
        """Another signal stops the thread before the signal of the failed call. The call is made
        again afterwards, and fails again."""
        registers, result = self._came_back(thread)
        thread.step = _FREE
        if self.failing is not None and result is not None and -result in self.failing.errors:
            way = self.injector.processors[thread.arch]
            machine.put(thread.tid, way.rewound(registers, thread.number, thread.args))

    def disarm(self, thread: Thread) -> None:
        """The thread makes another call, or is gone: its armed call, if any, has succeeded."""
        if self.failing is not None and self.failing.disarm(thread.tid):
            self.policy.ran_raised(thread)

    def _came_back(
        self, thread: Thread, *, interrupted: bool = False
    ) -> tuple[Registers, int | None]:
        came_back = self.injector.processors[thread.arch].came_back
        registers, call = machine.get(thread.tid), (thread.number, thread.pointer)
        return registers, came_back(registers, *call, interrupted=interrupted)

    def left_or_entered(self, thread: Thread) -> None:
        """A call was entered or left."""
        if thread.step is _CALL:
            thread.step = _FREE
            self._after(thread, machine.result(thread.tid))
        elif thread.step is _INJECT:
            if thread.entered:
                self.injector.injected(thread, machine.result(thread.tid))
            else:
                thread.entered = True
                machine.op(SYSCALL, thread.tid)
        elif thread.step is _SKIP:
            self.injector.after(thread, thread.injecting)
        else:
            info = machine.call_info(thread.tid)
            if info[0] != machine.ENTRY:
                self.injector.resume(thread)
            elif not self.tree.every_call and self.is_filtered(info):
                machine.op(CONT, thread.tid)  # the filter will stop it next
            else:
                self.entry(thread, info)

    def _after(self, thread: Thread, result: int) -> None:
        action = self.policy.left(thread, result)
        if action is RESUME:
            self.injector.resume(thread)
        else:
            self.perform(thread, action)

    def is_filtered(self, info: tuple[int, ...]) -> bool:
        """True if the filter stops a call with any arguments."""
        way, number = self.interfaces.get(info[1]), info[4]
        return way is None or (number in way.stopped and number not in way.only)

    def entry(self, thread: Thread, info: tuple[int, ...], *, filtered: bool = False) -> None:
        """A call begins, for the first time or again. ``filtered``: it is past the filter."""
        self.disarm(thread)
        _, arch, pointer, stack, number = info[:5]
        again = thread.step is _AGAIN and thread.number == number and thread.pointer == pointer
        thread.step = _FREE
        if not (thread.followed or thread.process.procfs_fds):
            self.injector.resume(thread)
            return
        way = self.interfaces.get(arch)
        if way is None or number >= seccomp_program.FIRST_X32:
            self.tree.evidence.send_once(other_calls=thread.program)
            self.injector.resume(thread)
            return
        thread.stack = stack
        if not again:
            thread.arch, thread.number, thread.pointer = arch, number, pointer
            thread.args = info[5:]
            thread.attempts, thread.proven = None, ()
            thread.call = way.calls.get(number)
        thread.began = time.monotonic_ns()  # our own capset was asked about before
        if thread.call is None:
            self.injector.resume(thread)
            return
        thread.step = _CALL
        action = RESUME if again else self.policy.entered(thread)
        if action is not RESUME:
            self.perform(thread, action)
        elif filtered and self._arms(thread, way):
            thread.step = _ARMED
            machine.op(CONT, thread.tid)
        else:
            machine.op(SYSCALL, thread.tid)

    def _arms(self, thread: Thread, way: Interface) -> bool:
        """Arm the thread, so that it stops only if its call fails; False if it must stop at the end
        in any case. A thread that blocks the signal would not stop."""
        return (
            self.failing is not None
            and way.arch == self.injector.native
            and thread.number not in way.only
            and self.policy.needs_failure_alone(thread)
            and not machine.blocks(thread.tid, SIGNAL)
            and self.failing.arm(thread.tid, thread.number)
        )


_STOPS = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
_MAKER_SECONDS = 1.0
"""Seconds that a new thread waits for its maker's stop."""


def main() -> None:
    plan_fd, say, report = (int(word) for word in sys.argv[1:4])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # they are for the target; the guardian kills us
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # see patient_wait
    with open(plan_fd, "rb") as file:
        plan = json.load(file)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    evidence = EvidenceLog(partial(json_lines.send, report), time.time)
    tracer = Tracer(machine.here(), plan, evidence)
    try:
        text = tracer.seize(plan["pid"])
    except OSError as error:
        json_lines.send(say, {"failed": f"trace it: {error.strerror}"})
        return
    json_lines.send(say, {"filter": text})
    os.close(say)
    gc.freeze()  # what is here by now stays
    tracer.run()


def _failing(
    plan: dict[str, Any], native: Processor, errors: frozenset[int]
) -> FailingCalls | None:
    """The means to stop a call only at its failure; None if the kernel has none, if calls are
    stopped without a filter, and on processors where it was not tried."""
    if plan["every_call"] or native.entered is None:
        return None
    try:
        return FailingCalls(errors, 8 * native.entered)
    except OSError:
        return None


class Tracer:
    """The event loop, and what each kind of stop means."""

    def __init__(
        self, processors: dict[int, Processor], plan: dict[str, Any], evidence: EvidenceLog
    ) -> None:
        self.evidence = evidence
        self.tree = Tree(evidence, every_call=plan["every_call"])
        self.target: int = plan["pid"]
        self.target_program: str = plan["program"]
        errnos = {(call, code): caps for (call, code), caps in plan["errnos"]}
        interfaces = {
            arch: calls.interface(arch, numbers, {call for call, _ in errnos})
            for arch, numbers in plan["numbers"]
            if arch in processors
        }
        self._tables = [(way.arch, way.stopped, way.only) for way in interfaces.values()]
        capsets = {way.arch: way.capset for way in interfaces.values()}
        self.injector = Injector(processors, self.tree, capsets)
        self.policy = Policy(
            self.tree,
            Bookkeeping(self.tree, alone=plan["alone"]),
            errnos,
            RefusedChecks(plan["denied"]).since,
            in_namespace=plan["in_namespace"],
        )
        self.failing = _failing(plan, processors[self.injector.native], telling_errors(errnos))
        self.calls = CallStops(
            self.tree, interfaces, self.injector, self.policy, self.perform, self.failing
        )
        self.early: set[int] = set()
        """New threads that stopped before the stop of their maker."""
        self.detaching: dict[int, Thread] = {}
        """Threads that another thread of the tree wants to trace → that one."""

    # ------------------------------------------------------------------ from start to end

    def seize(self, pid: int) -> str:
        """Seize the target; returns its filter as hexadecimal text, empty if every call stops."""
        machine.op(machine.SEIZE, pid, 0, machine.OPTIONS)
        self.tree.home = os.readlink(f"/proc/{pid}/ns/user")
        self.tree.add(pid, ProcView(pid))
        return "" if self.tree.every_call else seccomp_program.program(self._tables).hex()

    def run(self) -> None:
        """Handle stops until the last thread is gone."""
        self.evidence.send({"pid": os.getpid()})
        while True:
            try:
                tid, status = self.patient_wait() if self.early else os.waitpid(-1, WALL)
            except ChildProcessError:
                break
            try:
                if status & 0xFF == 0x7F:
                    self.stopped(tid, status >> 8)
                else:
                    self.ended(tid)
            except Gone:
                pass
        self.evidence.finish(self.tree.refusals)

    def patient_wait(self) -> tuple[int, int]:
        """The next stop. If a new thread's maker does not stop in time, it was killed at the exit
        of its call: the new thread must not wait for ever."""
        end = time.monotonic() + _MAKER_SECONDS
        while True:
            stop = os.waitpid(-1, WALL | os.WNOHANG)
            if stop[0]:
                return stop
            left = end - time.monotonic()
            if self.early and left < 0:
                self.adopt(self.early.pop())
            signal.sigtimedwait((signal.SIGCHLD,), max(0.001, left))

    def adopt(self, tid: int) -> None:
        """Follow a thread whose maker is gone. Its sets stay as they are."""
        thread = self.tree.add(tid, ProcView(tid))
        thread.injection_disabled = True
        with suppress(Gone):
            thread.reload()
            self.evidence.send_once(
                injection_disabled=thread.program or "a process whose parent was killed"
            )
            self.injector.resume(thread)

    def ended(self, tid: int) -> None:
        """A thread has ended."""
        self.early.discard(tid)
        if thread := self.tree.threads.get(tid):
            self.calls.disarm(thread)
        self.tree.remove(tid)
        waiting = self.detaching.pop(tid, None)
        if waiting is not None:
            self.injector.resume(waiting)

    def stopped(self, tid: int, what: int) -> None:
        """A thread stopped; ``what`` is signal | event << 8."""
        thread = self.tree.threads.get(tid)
        if thread is None:
            self.early.add(tid)
            return
        if self.detaching and tid in self.detaching:
            # whichever stop comes first, it takes the interruption with it
            waiting = self.detaching.pop(tid)
            self.detach(thread, what if what < _SYSCALL_STOP else 0)
            self.injector.resume(waiting)
        elif what == _SECCOMP_STOP:
            self.calls.filtered(thread)
        elif what == _SYSCALL_STOP:
            self.calls.left_or_entered(thread)
        else:
            self.rare_stop(thread, what >> 8, what & 0xFF)

    def rare_stop(self, thread: Thread, event: int, number: int) -> None:
        """Signals, and the begin of threads and programs."""
        if event == 0:
            self.signal_stop(thread, number)
        elif event == EVENT_STOP:
            self.event_stop(thread, number)
        elif event == func.PTRACE_EVENT_EXEC:
            self.exec_stop(thread)
        else:
            self.fork_stop(thread)  # no other events are asked for: machine.OPTIONS

    # ------------------------------------------------------------------ kinds of stops

    def signal_stop(self, thread: Thread, number: int) -> None:
        """A signal is about to be delivered. Give up the current try first: the handler must find
        the program as it was, and the call is made again after it."""
        if number == SIGNAL and self.failing and machine.is_from_kernel(thread.tid):
            if thread.step is CallStep.ARMED:
                self.calls.failed(thread)
            else:
                self.injector.resume(thread)
            return
        if thread.step is CallStep.ARMED:
            self.calls.interrupted(thread)
        if thread.step is CallStep.INJECT:
            self.injector.restore(thread)
        if thread.step in (CallStep.INJECT, CallStep.AGAIN):
            thread.step, thread.attempts = CallStep.FREE, None
        self.injector.resume(thread, number)

    def event_stop(self, thread: Thread, number: int) -> None:
        """A new thread begins, job control stopped it (it stays so) or lets it go on, or it was
        interrupted."""
        if number in _STOPS:
            machine.op(machine.LISTEN, thread.tid)
        elif thread.step is CallStep.INJECT:
            machine.op(
                CONT if not thread.filtered and not self.tree.every_call else SYSCALL, thread.tid
            )
        else:
            self.injector.resume(thread)

    def fork_stop(self, thread: Thread) -> None:
        """It made a thread or a process: that one stops too, before or after this."""
        tid = machine.event_message(thread.tid)
        same = os.path.exists(f"/proc/{thread.process.pid}/task/{tid}")
        child = self.tree.add_child(thread, tid, None if same else ProcView(tid))
        child.followed &= not makes_namespace(thread)
        if self.policy.is_settled(thread):
            thread.step = CallStep.FREE
        self.injector.resume(thread)
        if tid in self.early:
            self.early.discard(tid)
            with suppress(Gone):
                self.injector.resume(child)

    def exec_stop(self, thread: Thread) -> None:
        """A new program begins, with new sets. From another thread than the leader, it takes over
        the leader's id, and all other threads are gone."""
        self.calls.disarm(thread)  # a former leader, whose id another thread takes over
        thread = self.tree.take_over(thread, machine.event_message(thread.tid))
        self.policy.became_another(thread)
        self.policy.bookkeeping.executes(thread)
        thread.step = CallStep.FREE
        thread.process.exec()
        if not thread.followed and thread.tid == self.target and not thread.program:
            thread.followed, thread.program = True, self.target_program
            thread.process.look_for_pseudo()
            self.injector.try_suspending(thread)
            self.evidence.send({"started": time.time()})
        else:
            name = os.path.basename(thread.path).decode(errors="backslashreplace")
            thread.program = self.evidence.named(name)
        thread.reload()
        thread.virtual = thread.effective
        self.injector.resume(thread)

    # ------------------------------------------------------------------ what the policy wants

    def perform(self, thread: Thread, action: Action) -> None:
        """Carry out an action."""
        match action:
            case Resume():
                self.injector.resume(thread)
            case BeginWith(mask):
                self.injector.before(thread, mask)
            case RetryWith(mask):
                self.injector.after(thread, mask)
            case Detach():
                self.detach(thread)
            case Interrupt(other):
                self.detaching[other.tid] = thread
                machine.op(machine.INTERRUPT, other.tid)

    def detach(self, thread: Thread, number: int = 0) -> None:
        """Detach from a thread that another one wants to trace; ``number``: with this signal."""
        machine.op(machine.DETACH, thread.tid, 0, number)
        self.ended(thread.tid)


_SYSCALL_STOP = signal.SIGTRAP | 0x80
_SECCOMP_STOP = signal.SIGTRAP | EVENT_SECCOMP << 8


if __name__ == "__main__":
    main()
