"""The event loop with a subject that is only told of."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from capadvise.observe.supervise import event_loop
from capadvise.observe.supervise.command import Command
from capadvise.observe.supervise.decisions import Limits, MainExited
from capadvise.observe.supervise.event_loop import EventLoop


@pytest.fixture
def silent() -> Iterator[int]:
    """A descriptor that never becomes readable."""
    ends = os.pipe()
    yield ends[0]
    for end in ends:
        os.close(end)


class Gone:
    """A target that has ended before anybody looked; that was told together with its start."""

    def __init__(self, silent: int) -> None:
        self.fds, self.ended, self.begun = [silent], False, True
        self.status: int | None = None
        self.health = None

    def update(self) -> list[MainExited]:
        self.status, self.ended = 0, True
        return [MainExited(0)]

    def pids(self) -> list[int]:
        return []

    def stop(self) -> None: ...

    end_rest = kill = note_ending = stop


def test_what_ended_at_once_is_not_waited_for(silent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The news is read already: nothing would end the wait but its time."""
    monkeypatch.setattr(event_loop, "_ROUND", 3600.0)
    nothing: Any = SimpleNamespace(
        fds=[],
        events=[],
        observer="tracepoint",
        read=lambda: True,
        finish=lambda: None,
        check_itself=lambda: None,
    )
    signals: Any = SimpleNamespace(fd=silent, before=(), received=tuple)
    subject: Any = Gone(silent)
    loop = EventLoop(subject, nothing, signals, Command(("true",)), Limits())
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


def test_its_end_is_noted_before_it_is_told(silent: int) -> None:
    """Noted afterwards, what a quick one does at its end would count as its work: a master that
    signals its workers would need KILL, once in a while."""
    done: list[str] = []

    class Told(Gone):
        def signal(self, number: int, *, from_process: bool) -> None:
            done.append(f"told {number}")

    def note(*, stopping: bool) -> None:
        done.append("noted")

    sources: Any = SimpleNamespace(
        fds=[],
        events=[],
        read=lambda: True,
        finish=lambda: None,
        check_itself=lambda: None,
        observer="",
        note_stopping=note,
    )
    signals: Any = SimpleNamespace(
        fd=silent, before=(), received=lambda: [(signal.SIGTERM, True)], hung_up=False
    )
    subject: Any = Told(silent)
    EventLoop(subject, sources, signals, Command(("true",)), Limits()).run()
    assert done[:2] == ["noted", f"told {signal.SIGTERM:d}"]


def test_the_time_begins_when_the_target_is_let_go(
    silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before: to stop what is up, for a recording in its place, can take longer than --for."""
    now, stopped = [0.0], list[float]()
    monkeypatch.setattr(
        event_loop, "time", SimpleNamespace(monotonic=lambda: now[0], time=lambda: 1000 + now[0])
    )

    class Working(Gone):
        def update(self) -> list[MainExited]:
            now[0] += 1
            return super().update() if stopped else []

        def stop(self) -> None:
            stopped.append(now[0])

    sources: Any = SimpleNamespace(
        fds=[],
        events=[],
        read=lambda: True,
        finish=lambda: None,
        check_itself=lambda: None,
        note_stopping=lambda *, stopping: None,
    )
    signals: Any = SimpleNamespace(fd=silent, before=(), received=tuple)
    subject: Any = Working(silent)
    loop = EventLoop(subject, sources, signals, Command(("true",)), Limits(seconds=5))
    now[0] = 20
    loop.count_from(20)
    loop.run()
    assert stopped == [26]
