"""The traced tree: its threads, and the evidence that is sent to the supervisor. Pure."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from capadvise.observe.retry.thread import CallStep, Process, StoppedProcess, Thread

_DETAILS = 24
_OTHERS = "(others)"
_PROGRAMS = _SENT = 1000
_ANY = "?"


class EvidenceLog:
    """Sends each distinct fact once, at once; how often it was seen, at the end. Memory is bounded:
    it distinguishes a limited number of programs, and of details for each program, call and
    capability. A target could make new ones for ever."""

    def __init__(
        self, send: Callable[[Mapping[str, Any]], None], clock: Callable[[], float]
    ) -> None:
        """``send`` sends a message; ``clock`` gives the time at which a fact is seen."""
        self.send, self._clock = send, clock
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._counts: Counter[int] = Counter()
        self._raised: Counter[int] = Counter()
        self._details: Counter[tuple[Any, ...]] = Counter()
        self._proofs: Counter[tuple[str, str, int]] = Counter()
        self._latest: dict[tuple[str, str], int] = {}
        self._sent: set[str] = set()
        self._programs: set[str] = set()

    def named(self, program: str) -> str:
        """The name under which a program's facts are sent."""
        if program not in self._programs and len(self._programs) >= _PROGRAMS:
            return _ANY
        self._programs.add(program)
        return program

    def send_once(self, **message: Any) -> None:
        """Send a message that is sent only once."""
        text = repr(message)
        if text not in self._sent and len(self._sent) < _SENT:
            self._sent.add(text)
            self.send(message)

    def note(
        self, how: str, cap: int, program: str, call: str, detail: str | None, **more: Any
    ) -> int:
        """Note one fact: ``how`` is shown, refused, asked or probe. ``more``: ``errno``, the error
        without the capability; ``changes``, see ``changes_nothing`` … Returns how often it was
        seen, by program, call and capability."""
        same = (more.get("errno"), more.get("result"), more.get("changes"))
        where = (how, cap, program, call, *same)
        key = (*where, detail)
        if key not in self._numbers:
            self._details[where] += 1
            if self._details[where] > _DETAILS:
                detail = _OTHERS
                key = (*where, detail)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._numbers)
            fact = {"id": number, "how": how, "cap": cap, "program": program, "call": call}
            self.send({"fact": {**fact, "detail": detail, "at": self._clock(), **more}})
        self._counts[number] += 1
        self._proofs[program, call, cap] += 1
        self._latest[program, call] = number
        return self._proofs[program, call, cap]

    def ran_raised(self, program: str, call: str) -> None:
        """The call succeeded while the capability that it was shown to need was still raised."""
        number = self._latest.get((program, call))
        if number is not None:
            self._raised[number] += 1

    def finish(self, refusals: Counter[tuple[str, str, str, tuple[int, ...]]]) -> None:
        """Send the counts."""
        self.send({"counts": [[n, count, self._raised[n]] for n, count in self._counts.items()]})
        self.send({"refusals": [[*key, count] for key, count in refusals.items()]})


@dataclass(slots=True)
class Tree:
    """The threads, and the state that all share."""

    evidence: EvidenceLog
    every_call: bool = False
    """No filter chooses the calls that stop."""
    threads: dict[int, Thread] = field(default_factory=dict)
    home: str = ""
    """The target's user namespace, as /proc names it."""
    can_suspend: bool = True
    """The target's seccomp filters can be suspended for our capsets."""
    refusals: Counter[tuple[str, str, str, tuple[int, ...]]] = field(default_factory=Counter)
    """(call, error, program, capabilities that the kernel denied it then) → how often a refusal
    stood."""

    def add(self, tid: int, proc: StoppedProcess) -> Thread:
        """Add a new process of one thread."""
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
        """Remove a thread that has ended."""
        thread = self.threads.pop(tid, None)
        if thread is not None:
            thread.process.threads -= 1
            if not thread.process.threads:
                thread.process.proc.close()

    def stops_at_each_call(self, thread: Thread) -> bool:
        """True if its next call is to stop it without the filter: inside a call that is examined,
        or with a file of /proc open."""
        step = thread.step
        return (
            self.every_call
            or step is CallStep.CALL
            or step is CallStep.SKIP
            or bool(thread.process.procfs_fds)
        )
