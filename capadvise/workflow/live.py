"""The recording that a live screen shows."""

import contextlib
import fcntl
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from capadvise.catalog import default
from capadvise.judgement.decide import Proposal
from capadvise.kernel import own_caps
from capadvise.model.errors import CapadviseError, Exit
from capadvise.observe.supervise.live_recorder import (
    PIPE_SIZE,
    Ended,
    Failed,
    Job,
    Progress,
    RecorderProcess,
    TargetProgress,
    judge,
)
from capadvise.observe.supervise.pty import Pty
from capadvise.workflow.protocols import Now, Over


class LiveRecorder:
    """A ``protocols.LiveRecording``: the screen's side of the recorder (``live_recorder``). Make it
    before any thread starts: it forks."""

    def __init__(
        self,
        argv: Sequence[str],
        job: Job,
        *,
        check: str | None = None,
        has_terminal: bool = True,
        several: bool = False,
    ) -> None:
        """``job`` records and returns the ``Over`` of each target; ``several``: there can be more
        than one."""
        self._several = several
        self.argv, self.check = tuple(argv), check
        self.has_terminal = has_terminal
        default().preload()  # once, for all three processes
        self._terminal = Pty()
        self._progress = Progress()
        self._proposals_of: dict[str, Proposal] = {}
        self._ended: Ended | Failed | None = None
        self._started = False
        self._fork(job)

    def _fork(self, job: Job) -> None:
        orders, self._orders = os.pipe()
        progress, reporting = os.pipe()
        with contextlib.suppress(OSError):  # an ordinary user may have made too many
            fcntl.fcntl(reporting, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        recordings, to_judge = os.pipe()
        proposals, proposing = os.pipe()
        ready, judged = os.pipe()
        os.write(judged, b"r")
        ours = (self._orders, progress, proposals)
        judges = (recordings, proposing, judged)
        recorders = (orders, reporting, to_judge, ready)
        sys.stdout.flush()
        sys.stderr.flush()
        judge_pid = os.fork()
        if judge_pid == 0:
            _close(ours, recorders, (self._terminal.fd, self._terminal.inner))
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)  # it ends when its pipe does
            own_caps.keep(())
            judge(recordings, proposing, judged)
        recorder_pid = os.fork()
        if recorder_pid == 0:
            _close(ours, judges, (self._terminal.fd,))
            process = RecorderProcess(orders, reporting, to_judge, ready, several=self._several)
            process.run(job, self._terminal)
        own_caps.keep()  # the recorder sets up; the screen only looks on
        self._pids = (judge_pid, recorder_pid)
        _close(judges, recorders, (self._terminal.inner,))
        self._messages, self._proposals = os.fdopen(progress, "rb"), os.fdopen(proposals, "rb")
        self._reading = threading.Thread(target=self._read, daemon=True, name="progress")
        self._judging = threading.Thread(target=self._read_judgements, daemon=True, name="judge")

    # ------------------------------------------------------------ for the screen; none waits

    def start(self, columns: int, rows: int) -> None:
        self._started = True
        self._terminal.start(columns, rows)
        self._reading.start()
        self._judging.start()
        self._order(b"g")

    def now(self) -> tuple[Now, ...]:
        known, ended, clock = self._progress, self._ended, time.monotonic()
        if isinstance(ended, Ended):
            return tuple(self._now_of(each, ended.seconds, ended=True) for each in ended.targets)
        seconds = clock - known.began if known.began else 0.0
        return tuple(self._now_of(each, seconds) for each in known.targets)

    def _now_of(self, target: TargetProgress, seconds: float, *, ended: bool = False) -> Now:
        known, clock = self._progress, time.monotonic()
        return Now(
            seconds,
            target.tallies,
            self._proposals_of.get(target.name),
            known.lost,
            None if known.kill_at is None else known.kill_at - clock,
            target.name,
            target.health or known.health,
            ended or (target.ended and bool(target.name)),
            target.exit_status,
        )

    @property
    def observer(self) -> str:
        return self._progress.observer

    def output(self) -> bytes:
        return self._terminal.output()

    def over(self) -> tuple[Over, ...] | None:
        if isinstance(self._ended, Failed):
            error = CapadviseError(self._ended.message, hint=self._ended.hint)
            error.exit_code = Exit(self._ended.code)
            raise error
        return None if self._ended is None else tuple(self._ended.result)

    def stop(self) -> None:
        self._order(b"s")

    def type(self, data: bytes) -> None:
        self._terminal.type(data)

    def resize(self, columns: int, rows: int) -> None:
        self._terminal.resize(columns, rows)

    def wants_keys(self) -> bool:
        return self._terminal.wants_keys

    def close(self) -> tuple[Over, ...] | None:
        if self._ended is None:
            self.stop()
        if self._started:
            self._reading.join()
        os.close(self._orders)
        for pid in self._pids:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        return self.over()

    # ------------------------------------------- what the other processes report

    def _order(self, order: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._orders, order)

    def _read(self) -> None:
        while self._ended is None:
            message = _load(self._messages)
            if isinstance(message, Progress):
                self._progress = message
            else:
                lost = Failed("the recording process was killed", None, Exit.FAILED)
                self._ended = message or lost

    def _read_judgements(self) -> None:
        while (proposals := _load(self._proposals)) is not None:
            self._proposals_of = proposals


def _close(*others: tuple[int, ...]) -> None:
    """Close the ends of pipes that are another process's."""
    for fds in others:
        for fd in fds:
            os.close(fd)


def _load(pipe: Any) -> Any:
    """The next value; None at the end."""
    try:
        return pickle.load(pipe)
    except (EOFError, OSError, pickle.UnpicklingError):
        return None
