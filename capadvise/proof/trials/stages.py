"""Stages: the processes of trials, forked from one that has loaded all that they need.

``serve`` runs in the process that forks, ``Stages`` in the prover.
"""

import gc
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from capadvise.kernel.own_programs import own_program

_PROGRAM = "capadvise.proof.trials.sandbox"
SO_FAR = b"so far: "
"""Begins a line that is not the final result."""


class Stage:
    """One process, in a session of its own: it gets its plan and sends its result on a connection,
    which ends when nothing of the process is left."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._read = b""
        self.pid = int(self._line(None) or 0)

    def ask(self, plan: bytes, seconds: float, so_far: Callable[[bytes], None]) -> bytes:
        """Send the plan and return the result; empty if it was killed, as it is when its time is
        over. ``so_far`` gets earlier results."""
        end = time.monotonic() + seconds
        with suppress(OSError):
            self._connection.sendall(plan + b"\n")
        while (line := self._line(max(0.0, end - time.monotonic()))).startswith(SO_FAR):
            so_far(line.removeprefix(SO_FAR))
        if not line:
            self.kill()
        return line

    def _line(self, seconds: float | None) -> bytes:
        """The next line; empty when there is no more, or not in time."""
        end = None if seconds is None else time.monotonic() + seconds
        while b"\n" not in self._read:
            left = None if end is None else max(0.0, end - time.monotonic())
            if not select.select([self._connection], [], [], left)[0]:
                return b""
            if not (data := self._receive(1 << 16)):
                return b""
            self._read += data
        line, _, self._read = self._read.partition(b"\n")
        return line

    def _receive(self, size: int) -> bytes:
        """Empty when the process is gone; the system reports an error if it left something
        unread."""
        with suppress(ConnectionResetError):
            return self._connection.recv(size)
        return b""

    def terminate(self) -> None:
        """End it, in its own way."""
        self._signal(os.kill, signal.SIGTERM)

    def kill(self) -> None:
        """Kill it with its set-up, which would live on."""
        self._signal(os.killpg, signal.SIGKILL)

    def _signal(self, send: Callable[[int, int], None], number: int) -> None:
        if self.pid:
            with suppress(ProcessLookupError):
                send(self.pid, number)

    def wait(self, seconds: float) -> None:
        """Wait until nothing of it is left; after so long it is killed."""
        if self._line(seconds) == b"" and not self._ended():
            self.kill()
            self._line(None)
        self._connection.close()

    def _ended(self) -> bool:
        self._connection.setblocking(False)
        try:
            return self._receive(1) == b""
        except BlockingIOError:
            return False
        finally:
            self._connection.setblocking(True)


class Stages:
    """Makes stages. The process behind it starts with the first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Start the process in advance, so that the first stage does not wait for it."""
        with self._lock:
            if self._requests is None:
                self._requests = self._start()

    def open(self) -> Stage:
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            if self._requests is None:
                self._requests = self._start()
            try:
                socket.send_fds(self._requests, [b"s"], [theirs.fileno()])
            except OSError:  # it was killed
                self.close()
                self._requests = self._start()
                socket.send_fds(self._requests, [b"s"], [theirs.fileno()])
        return Stage(ours)

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*own_program(_PROGRAM), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=2,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        return ours

    def close(self) -> None:
        """End it; stages that still run get a SIGTERM."""
        if self._requests is not None and self._process is not None:
            self._requests.close()
            self._process.wait()
        self._requests = None


def serve(requests: socket.socket, stage: Callable[[int, int], None]) -> None:
    """Fork for each connection that comes, until the sender is gone."""
    own = os.getpid()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # their exit statuses are not needed
    gc.freeze()  # collecting would copy all that was loaded
    while True:
        _, fds, _, _ = socket.recv_fds(requests, 1, 1)
        if not fds:
            return
        if os.fork() == 0:
            try:
                requests.close()
                os.set_inheritable(fds[0], False)
                os.setsid()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                stage(fds[0], own)
            finally:
                sys.stderr.flush()
                os._exit(0)
        os.close(fds[0])
