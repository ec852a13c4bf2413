"""``capadvise run`` on a terminal: the recording under the live screen, and then its review."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path

from capadvise.catalog import default
from capadvise.decide import Proposal, decide_all
from capadvise.errors import CapadviseError
from capadvise.linux.background import Background
from capadvise.linux.command import Command
from capadvise.linux.observe import Observation, observe
from capadvise.linux.supervisor import Signals
from capadvise.linux.terminal import Terminal
from capadvise.linux.watch import Watch
from capadvise.recording import Lost, Recording, Tally
from capadvise.report.model import Report
from capadvise.tui.protocols import Now, Over

_EVERY = 0.1
"""Seconds between two looks at what was counted; more, where a look takes longer than 1/20 of it.
"""
_JUDGE_EVERY = 0.3
_LOST_EVERY = 1.0


class LiveRecorder:
    """Records a command in a thread of its own, and says what it has seen so far.

    Made in the main thread, before any other thread starts: it blocks signals. Three threads are at
    work: one reads the trace buffers, one the target's output, and one judges what was read.
    """

    def __init__(
        self, command: Command, save: Callable[[Observation], tuple[Report, Path]]
    ) -> None:
        self.argv, self.check = command.argv, command.check
        self.observer = "retry" if command.unobserved else "tracepoint"
        self._command, self._save = command, save
        self._signals = Signals()
        self._terminal = Terminal()
        self._recording: Background[Over] | None = None
        self._watch: Watch | None = None
        self._over: Over | None = None
        self._ended = False
        self._stops = self._obeyed = 0
        self._began = self._took = 0.0
        self._kill_at: float | None = None
        self._exited = False
        self._tallies: tuple[Tally, ...] = ()
        self._proposal: Proposal | None = None
        self._lost = Lost()
        self._next_look = self._next_judgement = self._next_lost = 0.0
        self._distinct = 0
        self._to_judge: queue.SimpleQueue[Sequence[Recording] | None] = queue.SimpleQueue()

    # ------------------------------------------------------------ for the screen; none waits

    def start(self, columns: int, rows: int) -> None:
        """Start the target."""
        threading.Thread(target=self._judge, daemon=True, name="judge").start()
        self._recording = Background(self._record)
        self._terminal.start(columns, rows)

    def now(self) -> Now:
        """What was seen so far."""
        kill_at = self._kill_at
        took = self._took or (time.monotonic() - self._began if self._began else 0.0)
        stopping = None if kill_at is None else kill_at - time.monotonic()
        return Now(took, self._tallies, self._proposal, self._lost, stopping)

    def output(self) -> bytes:
        """What the target wrote since the last call."""
        return self._terminal.output()

    def over(self) -> Over | None:
        """The end. Raises what ended the recording."""
        if self._over is None and self._recording is not None and self._ended:
            self._restore()
            self._over = self._recording.result()
        return self._over

    def stop(self) -> None:
        """End the target; called again, kill it."""
        self._stops += 1

    def type(self, data: bytes) -> None:
        """Keys for the target."""
        self._terminal.type(data)

    def resize(self, columns: int, rows: int) -> None:
        """Another size for the target's terminal."""
        self._terminal.resize(columns, rows)

    def wants_screen(self) -> bool:
        """Whether the target has switched to the alternate screen."""
        return self._terminal.wants_screen

    def lend(self) -> None:
        """Give the target the real terminal, until it has ended."""
        self._terminal.lend(lambda: self._exited)

    def close(self) -> Over | None:
        """End what still runs, and wait for the report; None where nothing was started. Raises what
        ended the recording."""
        if self._recording is None:
            self._restore()
            return None
        if not self._ended:
            self.stop()
        self._over = self._over or self._recording.result()
        self._restore()
        return self._over

    def _restore(self) -> None:
        """Signals do again what they did."""
        signals, self._signals = self._signals, None  # type: ignore[assignment]
        if signals is not None:
            signals.restore()

    # ------------------------------------------------------------------ the thread that reads

    def _record(self) -> Over:
        try:
            seen = observe(
                replace(self._command, terminal=self._terminal.inner),
                meanwhile=default().preload,
                signals=self._signals,
                each_round=self._round,
            )
            self._exited = True
            self._took = seen.recording.seconds
            if self._watch is not None:
                self._tallies = self._watch.aggregator.tallies()
            report, path = self._save(seen)
            self._proposal, self._kill_at = report.proposal, None
            leave = seen.recording.interrupted and not self._stops
            return Over(report, path, seen.check_passed, leave)
        finally:
            self._exited = self._ended = True
            self._to_judge.put(None)

    def _round(self, watch: Watch) -> None:
        """Between two rounds of reading."""
        now = time.monotonic()
        self._watch, self._began, self._kill_at = watch, watch.clock, watch.kill_at
        self._exited = watch.status is not None
        self._obey(watch, now)
        if now >= self._next_look:
            self._tallies = watch.aggregator.tallies()
            self._next_look = now + max(_EVERY, 20 * (time.monotonic() - now))
        if now >= self._next_lost:
            self._lost = watch.buffers.lost()
            self._next_lost = now + _LOST_EVERY
        if now >= self._next_judgement and watch.aggregator.distinct != self._distinct:
            self._distinct, self._next_judgement = watch.aggregator.distinct, inf
            self._to_judge.put(watch.so_far())

    def _obey(self, watch: Watch, now: float) -> None:
        """What the screen asked for."""
        if self._stops > self._obeyed:
            watch.interrupted = True
            if self._obeyed and watch.kill_at is not None:
                watch.kill_at = now
            watch.stop()
            self._obeyed = self._stops

    # ---------------------------------------------------------------- the thread that judges

    def _judge(self) -> None:
        """Judge what was read so far: the same way as in the end. The more there is, the rarer."""
        while (recordings := self._to_judge.get()) is not None:
            began = time.monotonic()
            proposal = decide_all(recordings, default())
            if not self._ended:
                self._proposal = proposal
            now = time.monotonic()
            self._next_judgement = now + max(_JUDGE_EVERY, 10 * (now - began))


def live(
    command: Command,
    save: Callable[[Observation], tuple[Report, Path]],
    *,
    prove: bool,
) -> tuple[Report, Over]:
    """The screens, until the user leaves: the report as it is then, and how the recording ended.

    Raises CannotObserve and CannotStart as ``observe`` does.
    """
    from capadvise.commands.review import Trials
    from capadvise.tui.app import CapadviseApp
    from capadvise.tui.live import LiveView
    from capadvise.tui.look import ask_background, theme
    from capadvise.tui.review import ReviewView

    reviews: list[ReviewView] = []

    def review(over: Over) -> ReviewView:
        view = ReviewView(
            over.report, default(), over.path, prover=Trials(over.path), prove=prove, live=True
        )
        reviews.append(view)
        return view

    look = theme(os.environ, ask_background(sys.stdin.fileno()))
    recorder = LiveRecorder(command, save)
    view = LiveView(recorder, default(), review, at_once=prove)
    app = CapadviseApp(lambda: view, theme=look)
    try:
        app.run()
    finally:
        over = recorder.close()
    if over is None:
        raise CapadviseError("the screen could not be opened", hint="try --no-tui")
    for line in view.output.lines.finished:
        print(line)
    return reviews[-1].report if reviews else over.report, over
