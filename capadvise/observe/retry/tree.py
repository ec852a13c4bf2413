"""The traced tree: its threads, and what holds for all of them. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from capadvise.observe.retry.evidence import EvidenceLog
from capadvise.observe.retry.thread import CallStep, Process, StoppedProcess, Thread


@dataclass(slots=True)
class Tree:
    """One for all threads."""

    evidence: EvidenceLog
    every_call: bool = False
    """No filter chooses the calls that stop."""
    threads: dict[int, Thread] = field(default_factory=dict)
    home: str = ""
    """The target's user namespace, as /proc names it."""
    can_suspend: bool = True
    """Seccomp filters of the target's can be kept from being asked about our capsets."""
    refusals: Counter[tuple[str, str, str, tuple[int, ...]]] = field(default_factory=Counter)
    """(call, error, program, capabilities that the kernel denied it then) → how often a refusal
    stood."""

    def add(self, tid: int, proc: StoppedProcess) -> Thread:
        """A process of one thread, of which nothing is known yet."""
        thread = self.threads[tid] = Thread(tid, Process(tid, proc, threads=1))
        return thread

    def add_child(self, maker: Thread, tid: int, proc: StoppedProcess | None) -> Thread:
        """A thread or, with files of its own in /proc, a process that another thread made."""
        process = maker.process if proc is None else maker.process.fork(tid, proc)
        process.threads += 1
        child = self.threads[tid] = maker.child(tid, process)
        return child

    def take_over(self, thread: Thread, former: int) -> Thread:
        """The thread with this former id becomes the leader by an exec: it has the leader's id
        now. Returns what stands for it."""
        if former == thread.tid or former not in self.threads:
            return thread
        caller = self.threads.pop(former)
        thread.process.threads -= 1
        caller.tid = thread.tid
        self.threads[thread.tid] = caller
        return caller

    def remove(self, tid: int) -> None:
        """A thread is no more."""
        thread = self.threads.pop(tid, None)
        if thread is not None:
            thread.process.threads -= 1
            if not thread.process.threads:
                thread.process.proc.close()

    def stops_at_each_call(self, thread: Thread) -> bool:
        """Whether its next call is to stop it, though no filter asks for that: inside a call that
        is looked at, or with a file of /proc open."""
        step = thread.step
        return (
            self.every_call
            or step is CallStep.CALL
            or step is CallStep.SKIP
            or bool(thread.process.procfs_fds)
        )
