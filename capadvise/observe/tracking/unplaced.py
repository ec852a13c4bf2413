"""What threads have done, while it is not known yet whose they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from capadvise.observe.tracking.tasks import Scope, Task

LATE_ROUNDS, UNPLACED = 50, 8192
"""For so many rounds what a thread did may wait for its start, and so much of it."""
T = TypeVar("T")


class Unplaced(Generic[T]):
    """What threads have done, until it is known whose they are: the start of a thread can be read
    some rounds after that, as events wait for those of other processors."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, T]] = []
        """Rounds for which it may wait yet, thread, and what it did."""

    def add(self, done: Iterable[tuple[int, T]]) -> None:
        """What is new; each waits for one round at least."""
        self._waiting += ((LATE_ROUNDS, thread, what) for thread, what in done)

    def placed(self, tasks: Mapping[int, Task]) -> Iterator[tuple[Task, Scope, int, T]]:
        """Of the target's threads: task, scope, thread, and what it did."""
        waiting, self._waiting = self._waiting, []
        for rounds, thread, what in waiting:
            task = tasks.get(thread)
            if task is None and rounds and len(self._waiting) < UNPLACED:
                self._waiting.append((rounds - 1, thread, what))
            elif task is not None and task.scope is not None:
                yield task, task.scope, thread, what
