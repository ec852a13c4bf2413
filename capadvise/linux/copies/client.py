"""The supervisor's side: what copies have shown, and which processes are copies."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import field, replace
from typing import Any

from capadvise.dataclass import dataclass
from capadvise.linux.copies.watched import NUMBERS, variant
from capadvise.linux.ftrace.event_order import Event, Noise
from capadvise.linux.kernel import json_lines
from capadvise.reaction import Reaction
from capadvise.recording import Recording

_MOST_TEXT = 200
_MOST = 4096
_LOOKS = 4
_MARGIN = 10_000_000
"""Nanoseconds after its end in which the number of a process is not used again."""
_FAILED = (
    "the process that tries calls in copies has ended: {}; calls that it was asked about failed "
    "with ENOSYS from then on"
)
_OUTCOMES = ("WENT_ON", "MARKED", "REACTED", "UNKNOWN")

_Begun = tuple[str | None, tuple[int, ...]]


@dataclass(slots=True)
class _Count:
    """What came of the calls of one program."""

    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_OUTCOMES, 0))
    wrote: str = ""


class Copies(json_lines.Hearing):
    """Hears the copier. The guardian starts it, and passes on our end of the pipe."""

    now: Callable[[], int] = time.monotonic_ns
    """The events' clock."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: set[int] = set()
        """Pids of copies: what they do is not the target's."""
        self._ended: dict[int, float] = {}
        """Of copies that have ended: when, in ns of the events' clock. Their pids can be given to
        others."""
        self._calls: list[tuple[int, str, int, str, str]] = []
        self._held: dict[int, list[list[float]]] = {}
        """When a thread was held by us: begin and end, in ns of the events' clock."""
        self._programs: dict[tuple[int, str, int], set[str]] = {}
        """By thread, call, and what that was about: the programs that were checked in it."""
        self.cautions: tuple[str, ...] = ()

    def read(self) -> None:
        """Take in what was told since."""
        if not self.ended:
            for message in self._messages.drain():
                self._take(message)

    def without(self, events: Iterable[Event], noise: Noise) -> tuple[Iterable[Event], Noise]:
        """See ``Copied``. A copy, and the time when a thread is held, are told of before anything
        is done: what has been read of the events is all known of here."""
        self.read()
        if not (self.copies or self._ended):
            return events, noise
        kept = [event for event in events if not self._is_apart(event[2], event[0])]
        counted = {key: seen for key, seen in noise.items() if not self._is_apart(key[2], seen[0])}
        return kept, counted

    def checked(self, pid: int, call: str | None, begun: _Begun, program: str) -> None:
        """See ``Copied``."""
        if call in NUMBERS and len(self._programs) < _MOST:
            args = begun[1] if begun[0] == call else ()
            self._programs.setdefault((pid, call, variant(call, args)), set()).add(program)

    def _in_events(self, when: int) -> int:
        """A time of the monotonic clock by the events' one, or somewhat earlier: a check behind the
        time when a thread was held is never taken for one within. The two clocks drift apart; the
        shortest of some looks at both tells best by how much."""
        looks = []
        for _ in range(_LOOKS):
            before, now, after = time.monotonic_ns(), self.now(), time.monotonic_ns()
            looks.append((after - before, now - after))
        return when + min(looks)[1]

    def _is_apart(self, pid: int, when: int) -> bool:
        return (
            pid in self.copies
            or when <= self._ended.get(pid, -1)
            or any(begin <= when <= end for begin, end in self._held.get(pid, ()))
        )

    def _take(self, message: Any) -> None:
        match message:
            case {"copier": int(pid)}:
                self.pid = pid
            case {"failed": str(text)}:
                self.cautions = (_FAILED.format(text),)
            case {"held": int(tid), "since": int(since)} if len(self._held) < _MOST:
                self._held.setdefault(tid, []).append([self._in_events(since), math.inf])
            case {"freed": int(tid), "until": int(until)} if tid in self._held:
                self._held[tid][-1][1] = self._in_events(until)
            case {"copy": int(pid)} if len(self.copies) + len(self._ended) < _MOST:
                self.copies.add(pid)
            case {"ended": int(pid), "until": int(until)} if pid in self.copies:
                self.copies.remove(pid)
                self._ended[pid] = self._in_events(until) + _MARGIN
            case {
                "call": {
                    "tid": int(tid),
                    "call": str(call),
                    "which": int(which),
                    "outcome": str(outcome),
                    "wrote": str(wrote),
                }
            } if call in NUMBERS and outcome in _OUTCOMES and len(self._calls) < _MOST:
                self._calls.append((tid, call, which, outcome, wrote))

    def merged(self, recording: Recording) -> Recording:
        """The recording with what was shown of those calls in which the kernel made a check."""
        counts: dict[tuple[str, str], _Count] = {}
        for tid, call, which, outcome, wrote in self._calls:
            for program in self._programs.get((tid, call, which), ()):
                count = counts.setdefault((program, call), _Count())
                count.outcomes[outcome] += 1
                count.wrote = count.wrote or wrote[:_MOST_TEXT]
        reactions = tuple(
            _reaction(program, call, count) for (program, call), count in sorted(counts.items())
        )
        cautions = (*recording.cautions, *self.cautions)
        return replace(recording, reactions=reactions, cautions=cautions)


def _reaction(program: str, call: str, count: _Count) -> Reaction:
    went_on, marked, reacted, unknown = (count.outcomes[outcome] for outcome in _OUTCOMES)
    return Reaction(
        program=program,
        syscall=call,
        tried=went_on + marked + reacted,
        went_on=went_on + marked,
        marked=marked,
        untried=unknown,
        wrote=count.wrote,
    )
