"""Ends running trials, and waits until they are undone."""

from __future__ import annotations

import threading
from collections.abc import Callable

from capadvise.judgement.proven import Interrupted
from capadvise.kernel.background import Background
from capadvise.proof.trials.stages import Stage, Stages


class Stop:
    """Ends all running trials, from another thread."""

    def __init__(self, stages: Stages | None = None) -> None:
        """``stages``: those of the whole that this is a part of."""
        self._lock = threading.Lock()
        self._running: set[Stage] = set()
        self._parts: list[Stop] = []
        self._stages = stages or Stages()
        self._endings: list[Background[None]] = []
        self.asked = False

    def __enter__(self) -> Stop:
        return self

    def __exit__(self, *_: object) -> None:
        """Wait until nothing of any trial is left."""
        for ending in (*self._endings, *(one for part in self._parts for one in part._endings)):
            ending.wait()
        self._stages.close()

    def part(self) -> Stop:
        """Make a part that ends some of the trials; ending the whole ends these, too."""
        part = Stop(self._stages)
        with self._lock:
            part.asked = self.asked
            self._parts.append(part)
        return part

    def ask(self) -> None:
        """End them, and let none start any more."""
        self._end(Stage.terminate)

    def kill(self) -> None:
        """End those that take too long to end."""
        self._end(Stage.kill)

    def _end(self, end: Callable[[Stage], None]) -> None:
        with self._lock:
            self.asked = True
            for stage in self._running:
                end(stage)
            parts = list(self._parts)
        for part in parts:
            part._end(end)

    def start(self) -> Stage:
        """Make a stage for a trial. Raises Interrupted if it is too late."""
        with self._lock:
            if self.asked:
                raise Interrupted
            stage = self._stages.open()
            self._running.add(stage)
            return stage

    def ended(self, stage: Stage, undo: Callable[[], None], *, wait: bool) -> None:
        """Forget a trial, and undo it in the background unless others would notice. Raises
        Interrupted if ``ask`` ended it."""
        with self._lock:
            self._running.discard(stage)
        ending = Background(undo)
        self._endings.append(ending)
        if wait:
            ending.wait()
        if self.asked:
            raise Interrupted
