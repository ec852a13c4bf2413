"""The events of a recording, and how busy the target was at each time. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from capadvise.model.caps import Cap
from capadvise.model.escape import printable
from capadvise.tui.rows import JUST, NEEDED, Row
from capadvise.workflow.protocols import Now

_BARS = "▁▂▃▄▅▆▇█"
_SAMPLES = 512
"""The most samples that are kept. If there are more, every other one is dropped: the line is no
longer than the screen is wide."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    seconds: float
    text: str
    cap: Cap | None = None
    needed: bool = False


class History:
    """Grows with each look at a recording."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._checked: set[Cap] = set()
        self._needed: set[Cap] = set()
        self._healthy: bool | None = None
        self._samples: list[tuple[float, int]] = []
        self._every = 0.0

    def add(self, now: Now, rows: Iterable[Row]) -> None:
        """Note what is new at this moment."""
        for row in rows:
            if row.title == NEEDED and row.cap not in self._needed:
                self._needed.add(row.cap)
                self._note(now, f"{row.cap.short} needed: {row.call}", row.cap, needed=True)
            elif row.title != JUST and row.cap not in self._checked | self._needed:
                self._note(now, f"{row.cap.short} {row.title.lower()}: {row.call}", row.cap)
            if row.title != JUST:
                self._checked.add(row.cap)
        if now.health is not None and now.health.passed is not self._healthy:
            self._healthy = now.health.passed
            self._note(now, f"health check {'passed' if self._healthy else 'failing'}")
        self._sample(now)

    def _note(self, now: Now, text: str, cap: Cap | None = None, *, needed: bool = False) -> None:
        self.events.append(Event(now.seconds, printable(text), cap, needed))

    def _sample(self, now: Now) -> None:
        if self._samples and now.seconds - self._samples[-1][0] < max(self._every, 0.05):
            return
        self._samples.append((now.seconds, sum(tally.count for tally in now.tallies)))
        if len(self._samples) > _SAMPLES:
            self._samples = self._samples[::2]
            self._every = 1.5 * (self._samples[-1][0] - self._samples[0][0]) / len(self._samples)

    def spark(self, width: int) -> str:
        """Checks per second as a row of bars, from the start until now."""
        if len(self._samples) < 2 or width < 1:
            return ""
        rates = self._rates(min(width, max(len(self._samples) - 1, 1)))
        most = max(rates) or 1.0
        return "".join(" " if r <= 0 else _BARS[min(7, int(7.99 * r / most))] for r in rates)

    def _rates(self, width: int) -> list[float]:
        times = [seconds for seconds, _ in self._samples]
        begin, end = times[0], times[-1]
        step = max((end - begin) / width, 0.001)
        edges = [self._count(times, begin + number * step) for number in range(width + 1)]
        return [(after - before) / step for before, after in pairwise(edges)]

    def _count(self, times: list[float], moment: float) -> float:
        """Checks until a moment, between two samples in proportion."""
        at = bisect_right(times, moment)
        if at >= len(times):
            return self._samples[-1][1]
        (t0, c0), (t1, c1) = self._samples[max(at - 1, 0)], self._samples[at]
        return c0 + (c1 - c0) * (moment - t0) / (t1 - t0) if t1 > t0 else c0

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self._samples[-1][0] if self._samples else 0.0

    def until(self, number: int) -> tuple[set[Cap], set[Cap]]:
        """(checked, needed) up to and with this event."""
        events = self.events[: number + 1]
        return (
            {event.cap for event in events if event.cap is not None},
            {event.cap for event in events if event.cap is not None and event.needed},
        )


def clock(seconds: float) -> str:
    """``7.3 s``, ``2:05``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
