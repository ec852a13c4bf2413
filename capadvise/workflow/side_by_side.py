"""Trials side by side: the likely next ones begin before their outcome is asked for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

from capadvise.judgement.proven import Interrupted, TrialOutcome
from capadvise.model.caps import CapSet
from capadvise.model.companion import Companion
from capadvise.proof.attempts import Attempt
from capadvise.proof.trials.runner import BrokenTrial
from capadvise.proof.trials.stop import Stop

Run = Callable[[Attempt, bool, Stop], TrialOutcome]
"""Makes one trial. The second argument: True if its checks are observed, too."""
_LONG = 60.0
_WAITING = 2
"""For each trial that works, there may be one that only waits for its time-out."""


def waiting_places(workers: int, busy: float) -> int:
    """The number of trials beyond ``workers`` that can run at once, since a trial mostly waits:
    ``busy`` is the average number of processors that worked during one. Pure."""
    return max(0, min(_WAITING * workers, int(workers / max(busy, 0.01))) - workers)


class Places:
    """Places for trials, in the order in which they come. A trial that takes longer than usual is
    most likely waiting for its time-out, and gives up its place."""

    def __init__(self, count: int) -> None:
        self._lock, self._free, self.usual = threading.Lock(), count, _LONG
        self._waiting: deque[threading.Event] = deque()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a place, until the end of the block or until that has taken too long."""
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
    """The trials of one workload. Only one thread calls its methods."""

    def __init__(self, run: Run, stop: Stop, workers: int) -> None:
        self._run, self._stop, self._workers = run, stop, workers
        self._places = Places(max(1, workers))
        self._pool = ThreadPoolExecutor(_WAITING * workers if workers > 1 else 1)
        self._begun: dict[Attempt, _Begun] = {}
        self._ahead: set[Attempt] = set()
        self._failed: set[Attempt] = set()
        self.broken: BrokenTrial | None = None
        """The reason why a trial could not be made, which ended them all."""

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
        """Set the usual seconds until a start has passed its check."""
        self._places.usual = seconds

    def add_places(self, count: int) -> None:
        """Allow more trials at once, unless there is but one worker."""
        self._places.add(count if self._workers > 1 else 0)

    def ahead(self, attempts: Sequence[Attempt]) -> None:
        """Begin these trials, and give up those that have begun and are not among them."""
        self._ahead |= set(attempts)
        self._give_up(self._begun.keys() - set(attempts))
        for attempt in attempts if self._workers > 1 else ():
            if attempt not in self._begun:
                self._begin(attempt)

    def __call__(self, caps: CapSet, beside: tuple[Companion, ...] = ()) -> TrialOutcome:
        """The outcome of one trial. A trial that has failed is observed when it is made again, to
        see what it was refused, and has all the time that the workload allows. If it passes then,
        the others had begun with too little time, and are given up."""
        attempt = Attempt(caps, beside)
        attempt = attempt._replace(patient=attempt in self._failed)
        if attempt not in self._begun:
            self._begin(attempt)
        begun = self._begun.pop(attempt)
        self._ahead.discard(attempt)
        try:
            outcome = begun.future.result()
        except BrokenTrial as error:
            self.broken = error
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
