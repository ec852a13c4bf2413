"""The tracer: a program of its own, since python-ptrace is GPL. It never meets python-prctl.

Run as ``tracer.py PLAN_FD SAY_FD REPORT_FD PATH…`` by the guardian: reads a plan, seizes the held
target, answers with the seccomp filter that the target is to install, and follows the tree until
its last thread is gone. If it dies, the kernel kills what it traces (PTRACE_O_EXITKILL).

A call is stopped at its entry (seccomp) and at its end. One that fails with an error behind which
a capability can stand is made again: the tracer turns the same instruction into a capset, raises a
candidate, and lets the thread make the call anew. The set is lowered when the next call of
interest begins. A signal that arrives in between is delivered first, as if nothing had been tried.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import Any

if __name__ == "__main__":
    sys.path += sys.argv[4:]  # where capadvise and ptrace are: started with -I -S, it has no path

from ptrace.binding import func

from capadvise.linux.retry import bpf, calls, machine
from capadvise.linux.retry.arguments import makes_namespace
from capadvise.linux.retry.denied_checks import Denied
from capadvise.linux.retry.evidence import Evidence
from capadvise.linux.retry.inject import Injector
from capadvise.linux.retry.machine import CONT, EVENT_SECCOMP, EVENT_STOP, SYSCALL, Gone
from capadvise.linux.retry.policy import Rules
from capadvise.linux.retry.thread import Call, Phase, Process, Thread, parse_status

_WALL = 0x40000000
_STOPS = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
_PATIENCE = 1.0
"""Seconds that a new thread waits for its maker's word."""


def main() -> None:
    """Run as a program."""
    plan_fd, say, report = (int(word) for word in sys.argv[1:4])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # they are for the target; the guardian kills us
    with open(plan_fd, "rb") as file:
        plan = json.load(file)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    here = machine.here()
    if here is None:
        os.write(say, json.dumps({"failed": f"retries do not know {os.uname().machine}"}).encode())
        return
    tracer = Tracer(here, plan, Evidence(report))
    try:
        text = tracer.seize(plan["pid"])
    except (OSError, Gone) as error:
        os.write(say, json.dumps({"failed": f"cannot trace it: {error}"}).encode() + b"\n")
        return
    os.write(say, json.dumps({"filter": text}).encode() + b"\n")
    os.close(say)
    tracer.run()


class Tracer:
    """The event loop, and what each kind of stop means."""

    def __init__(self, here: machine.Machine, plan: dict[str, Any], evidence: Evidence) -> None:
        self.machine, self.evidence = here, evidence
        self.every_call: bool = plan["every_call"]
        self.target: int = plan["pid"]
        self.target_program: str = plan["program"]
        numbers = machine.numbers(here)
        self.injector = Injector(here, self, numbers["capset"])
        rows = {call for (call, _), _ in plan["errnos"]}
        stopped = calls.stopped(rows)
        known = stopped | calls.KIND.keys() | rows
        self.calls = {
            numbers[name]: Call(name, calls.KIND.get(name, calls.Kind.PLAIN))
            for name in known
            if name in numbers
        }
        self.always = {
            numbers[name] for name in stopped if name in numbers and name not in calls.ONLY
        }
        """Calls that the filter stops, whatever their arguments."""
        self._filter = bpf.program(
            here.arch,
            [numbers[name] for name in stopped if name in numbers],
            {numbers[name]: only for name, only in calls.ONLY.items() if name in numbers},
        )
        self.threads: dict[int, Thread] = {}
        self.early: set[int] = set()
        """New threads that stopped before their maker's stop told of them."""
        self.home = ""
        """The target's user namespace, as /proc names it."""
        self.refusals: Counter[tuple[str, str, str]] = Counter()
        self.rules = Rules(self, plan, Denied(plan["denied"]))
        self.detaching: dict[int, Thread] = {}
        """Threads that another one of the tree wants to trace itself → that one."""

    # ------------------------------------------------------------------ from start to end

    def seize(self, pid: int) -> str:
        """Begin; the filter for the target, as hexadecimal text; empty for every call."""
        machine.op(machine.SEIZE, pid, 0, machine.OPTIONS)
        self.home = os.readlink(f"/proc/{pid}/ns/user")
        self.threads[pid] = Thread(pid, Process(pid, threads=1))
        return "" if self.every_call else self._filter.hex()

    def run(self) -> None:
        """Until the last thread is gone."""
        self.evidence.tell({"pid": os.getpid()})
        while True:
            try:
                tid, status = self.patient_wait() if self.early else os.waitpid(-1, _WALL)
            except ChildProcessError:
                break
            with suppress(Gone):
                if status & 0xFF == 0x7F:
                    self.stopped(tid, status >> 8)
                else:
                    self.ended(tid)
        self.evidence.finish(self.refusals)

    def patient_wait(self) -> tuple[int, int]:
        """The next stop. Where nobody tells of a new thread in time, its maker was killed on the
        way out of the call: it must not wait for ever."""
        end = time.monotonic() + _PATIENCE
        while True:
            found = os.waitpid(-1, _WALL | os.WNOHANG)
            if found[0]:
                return found
            if self.early and time.monotonic() > end:
                self.adopt(self.early.pop())
            time.sleep(0.001)

    def adopt(self, tid: int) -> None:
        """Follow a thread whose maker is gone. What it can do is left as it is."""
        thread = self.threads[tid] = Thread(tid, Process(tid, threads=1), pinned=True)
        with suppress(Gone):
            self.look(thread)
            self.evidence.tell_once(pinned=thread.program or "a process whose parent was killed")
            self.go_on(thread)

    def ended(self, tid: int) -> None:
        """A thread is no more."""
        self.early.discard(tid)
        thread = self.threads.pop(tid, None)
        waiting = self.detaching.pop(tid, None)
        if waiting is not None:
            self.go_on(waiting)
        if thread is not None:
            thread.process.threads -= 1
            if not thread.process.threads:
                thread.process.close()

    def stopped(self, tid: int, what: int) -> None:
        """A thread stopped; ``what`` is signal | event << 8."""
        thread = self.threads.get(tid)
        if thread is None:
            self.early.add(tid)
            return
        event = what >> 8
        waiting = self.detaching.pop(tid, None)
        if waiting is not None:  # whichever stop comes first, it takes the interruption with it
            self.detach(thread, what if not event and what != _SYSCALL_STOP else 0)
            self.go_on(waiting)
        elif what == _SYSCALL_STOP:
            self.syscall_stop(thread)
        elif event == EVENT_SECCOMP:
            self.seccomp_stop(thread)
        elif event == 0:
            self.signal_stop(thread, what)
        elif event == EVENT_STOP:
            self.event_stop(thread, what & 0xFF)
        elif event == func.PTRACE_EVENT_EXEC:
            self.exec_stop(thread)
        elif event in (
            func.PTRACE_EVENT_FORK,
            func.PTRACE_EVENT_VFORK,
            func.PTRACE_EVENT_CLONE,
        ):
            self.fork_stop(thread)
        else:
            self.go_on(thread)

    def go_on(self, thread: Thread, number: int = 0) -> None:
        """Let a thread run to the next stop of interest; ``number``: with this signal.

        Inside a call that is looked at, or with a file of /proc open, each call stops it.
        """
        every = self.every_call or thread.phase in (Phase.CALL, Phase.SKIP) or thread.process.hot
        machine.op(SYSCALL if every else CONT, thread.tid, 0, number)

    # ------------------------------------------------------------------ kinds of stops

    def seccomp_stop(self, thread: Thread) -> None:
        """The filter stopped a call at its entry."""
        if thread.phase is Phase.INJECT:
            thread.entered = True
            machine.op(SYSCALL, thread.tid)
        elif thread.phase is Phase.CALL:  # seen at its entry already, without the filter
            machine.op(SYSCALL, thread.tid)
        else:
            self.entry(thread, machine.call_info(thread.tid))

    def syscall_stop(self, thread: Thread) -> None:
        """A call was entered or left."""
        if thread.phase is Phase.CALL:
            thread.phase = Phase.FREE
            self.rules.left(thread, machine.result(thread.tid))
        elif thread.phase is Phase.INJECT:
            if thread.entered:
                self.injector.injected(thread, machine.result(thread.tid))
            else:
                thread.entered = True
                machine.op(SYSCALL, thread.tid)
        elif thread.phase is Phase.SKIP:
            self.injector.after(thread, thread.injecting)
        else:
            info = machine.call_info(thread.tid)
            if info[0] != machine.ENTRY:
                self.go_on(thread)
            elif not self.every_call and info[4] in self.always:
                machine.op(CONT, thread.tid)  # the filter will stop it next
            else:
                self.entry(thread, info)

    def signal_stop(self, thread: Thread, number: int) -> None:
        """A signal is about to be delivered. What was being tried is given up first: the handler
        must find the program as it was, and the call is made anew after it."""
        if thread.phase is Phase.INJECT:
            self.injector.restore(thread)
        if thread.phase in (Phase.INJECT, Phase.AGAIN):
            thread.phase, thread.attempts = Phase.FREE, None
        self.go_on(thread, number)

    def event_stop(self, thread: Thread, number: int) -> None:
        """A new thread begins, job control stopped it (it stays so), or it was interrupted."""
        if number in _STOPS:
            machine.op(machine.LISTEN, thread.tid)
        elif thread.phase is Phase.INJECT:
            machine.op(CONT if not thread.filtered and not self.every_call else SYSCALL, thread.tid)
        else:
            self.go_on(thread)

    def fork_stop(self, thread: Thread) -> None:
        """It made a thread or a process: that one stops too, before or after this."""
        tid = machine.event_message(thread.tid)
        same = os.path.exists(f"/proc/{thread.process.pid}/task/{tid}")
        process = thread.process if same else thread.process.fork(tid)
        process.threads += 1
        child = self.threads[tid] = thread.child(tid, process)
        child.followed &= not makes_namespace(thread)
        self.go_on(thread)
        if tid in self.early:
            self.early.discard(tid)
            with suppress(Gone):
                self.go_on(child)

    def exec_stop(self, thread: Thread) -> None:
        """A new program begins, with new sets. From another thread than the leader, it takes over
        the leader's id, and all other threads are gone."""
        former = machine.event_message(thread.tid)
        if former != thread.tid and former in self.threads:
            caller = self.threads.pop(former)
            thread.process.threads -= 1
            caller.tid = thread.tid
            thread = self.threads[thread.tid] = caller
        thread.process.exec()
        if not thread.followed and thread.tid == self.target and not thread.program:
            thread.followed, thread.program = True, self.target_program
            thread.process.look_for_pseudo()
            self.injector.try_suspending(thread)
            self.evidence.tell({"started": time.time()})
        else:
            name = os.path.basename(thread.path).decode(errors="backslashreplace")
            thread.program = self.evidence.named(name)
        thread.attempts = None
        self.look(thread)
        thread.virtual = thread.effective
        self.go_on(thread)

    def look(self, thread: Thread) -> None:
        """Read what the kernel has: the user and the capability sets."""
        try:
            with open(f"/proc/{thread.tid}/status", encoding="utf-8", errors="replace") as file:
                text = file.read()
        except OSError as error:
            raise Gone from error
        thread.uid, thread.inheritable, thread.permitted, thread.effective = parse_status(text)

    # ------------------------------------------------------------------ calls

    def entry(self, thread: Thread, info: tuple[int, ...]) -> None:
        """A call begins, for the first time or again."""
        _, arch, pointer, stack, number, *args = info
        again = thread.phase is Phase.AGAIN and (thread.number, thread.pointer) == (number, pointer)
        thread.phase = Phase.FREE
        if arch != self.machine.arch or not (thread.followed or thread.process.hot):
            self.go_on(thread)
            return
        thread.stack = stack
        if not again:
            thread.number, thread.pointer, thread.args = number, pointer, tuple(args)
            thread.attempts, thread.proven = None, ()
            thread.call = self.calls.get(number)
            thread.began = time.monotonic_ns()
            if thread.call is not None:
                if self.rules.entered(thread):
                    return
                if thread.followed and not thread.pinned:
                    want = self.rules.wanted(thread)
                    if want != thread.effective:
                        self.injector.before(thread, want)
                        return
        if thread.call is not None:
            thread.phase = Phase.CALL
        self.go_on(thread)

    # ------------------------------------------------------------------ targets that trace

    def interrupt(self, thread: Thread, waiting: Thread) -> None:
        """Stop a thread, so that it can be let go of; ``waiting`` goes on then."""
        waiting.phase = Phase.CALL
        self.detaching[thread.tid] = waiting
        machine.op(machine.INTERRUPT, thread.tid)

    def detach(self, thread: Thread, number: int = 0) -> None:
        """Let go of a thread that another one wants to trace; ``number``: with this signal."""
        machine.op(machine.DETACH, thread.tid, 0, number)
        self.ended(thread.tid)


_SYSCALL_STOP = signal.SIGTRAP | 0x80


if __name__ == "__main__":
    main()
