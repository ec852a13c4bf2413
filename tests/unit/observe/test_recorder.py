"""The recorder below the live screen, without one."""

from __future__ import annotations

import os
import pickle
import threading
from types import SimpleNamespace
from typing import Any, cast

from capadvise.model.recording import Lost, Tally
from capadvise.observe.supervise.decisions import State
from capadvise.observe.supervise.event_loop import EventLoop, TargetSoFar
from capadvise.observe.supervise.live_recorder import Failed, RecorderProcess
from capadvise.observe.supervise.pty import Pty
from tests.support.recordings import BIND


class Sources:
    """A run with many tallies, and others at each look."""

    observer = "tracepoint"
    distinct = 0
    has_check = False
    clock = 0.0
    kill_at = status = None
    state = State()

    def __init__(self) -> None:
        self.state = State()
        self.tracker = self.sources = self.subject = self
        self.looks = 0

    def tallies(self) -> tuple[Tally, ...]:
        self.looks += 1
        return tuple(Tally(number + self.looks, BIND) for number in range(400))

    def lost_so_far(self) -> Lost:
        return Lost()


class OneCheck(Sources):
    """A run that goes on and checks nothing more."""

    def tallies(self) -> tuple[Tally, ...]:
        return (Tally(1, BIND),)


def test_a_target_whose_name_comes_late_is_judged_under_it() -> None:
    """Its engine tells the name of a container when it has the time."""
    (orders, _), (_, progress), (recordings, to_judge) = (os.pipe() for _ in range(3))
    judged, ready = os.pipe()
    recorder: Any = RecorderProcess(orders, progress, to_judge, judged, several=True)
    run = cast(EventLoop, OneCheck())
    for name in ("2f7fbce7ec31", "web", "web"):
        os.write(ready, b"r")
        recorder._next_look = recorder._next_judgement = 0.0
        recorder._round(run, lambda name=name: [TargetSoFar(name, ())])
    os.close(to_judge)
    with open(recordings, "rb") as asked:
        assert [*pickle.load(asked)] == ["2f7fbce7ec31"]
        assert [*pickle.load(asked)] == ["web"]


def test_it_never_waits_for_a_screen_that_does_not_read() -> None:
    """As one that is stopped: what is recorded meanwhile would be lost."""
    (orders, _), (_, progress), (_, recordings), (judged, _) = (os.pipe() for _ in range(4))
    recorder: Any = RecorderProcess(orders, progress, recordings, judged, several=False)

    def rounds() -> None:
        run = cast(EventLoop, Sources())
        for _ in range(50):
            recorder._next_look = 0.0
            recorder._round(run, tuple)
        ended.set()

    ended = threading.Event()
    threading.Thread(target=rounds, daemon=True).start()
    assert ended.wait(60)


def test_a_defect_of_the_recorder_is_told() -> None:
    (orders, order), (told, progress), (_, recordings), (judged, _) = (os.pipe() for _ in range(4))

    def job(*_: object) -> list[Any]:
        raise ValueError("no such event")

    os.write(order, b"g")
    if (pid := os.fork()) == 0:
        try:
            recorder = RecorderProcess(orders, progress, recordings, judged, several=False)
            recorder.run(job, cast(Pty, SimpleNamespace(inner=0)))
        finally:
            os._exit(9)
    os.close(progress)
    with open(told, "rb") as said:
        failed = pickle.load(said)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert failed == Failed("ValueError('no such event')", None, 1)
