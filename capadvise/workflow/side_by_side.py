"""Trials side by side: what is likely asked next is tried before it is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

from capadvise.caps import CapSet
from capadvise.linux.trials.runner import BrokenTrial, Stop
from capadvise.prove import Interrupted, TrialOutcome

Run = Callable[[CapSet, bool, Stop], TrialOutcome]
"""One trial of a set. The second argument: whether its checks are observed, too."""


@dataclass(slots=True)
class _Begun:
    future: Future[TrialOutcome]
    stop: Stop


class SideBySide:
    """The trials of one workload. Its methods are called by one thread."""

    def __init__(self, run: Run, stop: Stop, workers: int) -> None:
        self._run, self._stop, self._workers = run, stop, workers
        self._pool = ThreadPoolExecutor(max(1, workers))
        self._begun: dict[CapSet, _Begun] = {}
        self._removals: set[CapSet] = set()
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

    def ahead(self, sets: Sequence[CapSet]) -> None:
        """Begin with the first of these. What was begun and is not among them is given up."""
        self._removals |= set(sets)
        self._give_up([caps for caps in self._begun if caps not in sets])
        for caps in sets[: self._workers if self._workers > 1 else 0]:
            if caps not in self._begun:
                self._begin(caps)

    def __call__(self, caps: CapSet) -> TrialOutcome:
        """One trial. What is tried again is observed: it contradicted what was expected."""
        if caps not in self._begun:
            self._begin(caps)
        begun = self._begun.pop(caps)
        self._removals.discard(caps)
        try:
            return begun.future.result()
        except BrokenTrial as error:
            self.broken = str(error)
            raise Interrupted from error

    def _begin(self, caps: CapSet) -> None:
        stop = self._stop.part()
        observed = caps not in self._removals
        self._begun[caps] = _Begun(self._pool.submit(self._run, caps, observed, stop), stop)

    def _give_up(self, sets: Sequence[CapSet] | dict[CapSet, _Begun]) -> None:
        for caps in list(sets):
            begun = self._begun.pop(caps)
            if not begun.future.cancel():
                begun.stop.ask()
