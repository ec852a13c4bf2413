"""Trials side by side: what is likely asked next is tried before it is asked."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

from capadvise.judgement.trial_outcome import Interrupted, TrialOutcome
from capadvise.model.caps import CapSet
from capadvise.model.companion import Companion
from capadvise.proof.attempts import Attempt
from capadvise.proof.trials.runner import BrokenTrial
from capadvise.proof.trials.stop import Stop

Run = Callable[[Attempt, bool, Stop], TrialOutcome]
"""One trial. The second argument: whether its checks are observed, too."""
_LONG = 60.0
_WAITING = 2
"""For each trial that works, one may do nothing but wait for its time-out."""


def waiting_places(workers: int, busy: float) -> int:
    """How many trials more than there are workers can run at once: while one was made, ``busy``
    processors worked, and the rest of its time it waited. Pure."""
    return max(0, min(_WAITING * workers, int(workers / max(busy, 0.01))) - workers)


class Places:
    """So many trials at once, in the order in which they come. One that takes longer than usual
    most likely waits for what will never come, and gives up its place."""

    def __init__(self, count: int) -> None:
        self._lock, self._free, self.usual = threading.Lock(), count, _LONG
        self._waiting: deque[threading.Event] = deque()

    @contextmanager
    def one(self) -> Iterator[None]:
        """A place, until the end or until it has taken too long."""
        self._take()
        held = threading.Lock()

        def give_up() -> None:
            if held.acquire(blocking=False):
                self._give_back()

        timer = threading.Timer(self.usual, give_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            give_up()

    def add(self, count: int) -> None:
        """So many more."""
        for _ in range(count):
            self._give_back()

    def _take(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = threading.Event()
            self._waiting.append(turn)
        turn.wait()

    def _give_back(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1


@dataclass(slots=True)
class _Begun:
    future: Future[TrialOutcome]
    stop: Stop


class SideBySide:
    """The trials of one workload. Its methods are called by one thread."""

    def __init__(self, run: Run, stop: Stop, workers: int) -> None:
        self._run, self._stop, self._workers = run, stop, workers
        self._places = Places(max(1, workers))
        self._pool = ThreadPoolExecutor(_WAITING * workers if workers > 1 else 1)
        self._begun: dict[Attempt, _Begun] = {}
        self._ahead: set[Attempt] = set()
        self._failed: set[Attempt] = set()
        self.broken: str | None = None
        """Why the trials ended, where one could not be made any more."""

    def __enter__(self) -> SideBySide:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._give_up(self._begun)
        self._pool.shutdown()

    def expect(self, seconds: float) -> None:
        """Until a start has passed its check, or never will."""
        self._places.usual = seconds

    def add_places(self, count: int) -> None:
        """So many more trials at once, where there is more than one."""
        self._places.add(count if self._workers > 1 else 0)

    def ahead(self, attempts: Sequence[Attempt]) -> None:
        """Begin with these. What was begun and is not among them is given up."""
        self._ahead |= set(attempts)
        self._give_up(self._begun.keys() - set(attempts))
        for attempt in attempts if self._workers > 1 else ():
            if attempt not in self._begun:
                self._begin(attempt)

    def __call__(self, caps: CapSet, beside: Companion | None = None) -> TrialOutcome:
        """One trial. What has failed against all expectation is observed when it is tried again: it
        is asked then what it was refused. And it has all the time that the workload allows. Where
        it passes then, the others were begun with too little."""
        attempt = Attempt(caps, beside)
        attempt = attempt._replace(patient=attempt in self._failed)
        if attempt not in self._begun:
            self._begin(attempt)
        begun = self._begun.pop(attempt)
        self._ahead.discard(attempt)
        try:
            outcome = begun.future.result()
        except BrokenTrial as error:
            self.broken = str(error)
            raise Interrupted from error
        if not outcome.passed:
            self._failed.add(attempt)
        elif attempt.patient:
            self._give_up(self._begun)
        return outcome

    def _begin(self, attempt: Attempt) -> None:
        stop = self._stop.part()
        observed = attempt not in self._ahead
        future = self._pool.submit(self._run_in_place, attempt, observed, stop)
        self._begun[attempt] = _Begun(future, stop)

    def _run_in_place(self, attempt: Attempt, observed: bool, stop: Stop) -> TrialOutcome:
        with self._places.one():
            return self._run(attempt, observed, stop)

    def _give_up(self, attempts: Iterable[Attempt]) -> None:
        for attempt in list(attempts):
            begun = self._begun.pop(attempt)
            if not begun.future.cancel():
                begun.stop.ask()
