"""The supervisor's side of the guardian: starting it, talking to it, and signals."""

import _socket  # see audit.live
import contextlib
import errno
import os
import select
import signal
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from capadvise.kernel import json_lines, libc, own_caps
from capadvise.kernel.own_streams import has_terminal, relays
from capadvise.kernel.process_tree import OwnCgroup, kill_descendants, reap_all
from capadvise.model.errors import CannotStart
from capadvise.observe.supervise import guardian

_SI_USER = (0, -6)
"""``si_code`` of kill(2) and tkill(2); the terminal's own signals have SI_KERNEL (0x80)."""
_MOST_STOPS = 20
_LOOK = 0.1
"""Seconds after which a guardian that does not answer is examined."""
_LOOKS, _BREATH = 4, 0.001
"""How often, and after how many seconds, a continued guardian is examined again: a target that
stops it in a loop must not delay it by a round of reading each time, which can last a second. Not
longer: during that time nothing is read, and full buffers lose events."""


MORE_PROCESSES = "raise ulimit -u, or pids.max of the control group"
"""The hint if no process can be made (EAGAIN)."""


class GuardianLost(CannotStart):
    """It ended without a message."""


class GuardianProcess:
    """The process that starts and owns the target. SECURITY.md's promise about ``kill -9`` rests on
    it: it sees our end by one pipe, and we see its end by the other one."""

    def __init__(self, fds: Iterable[int] = (), cgroup: OwnCgroup | None = None) -> None:
        """Start it. It keeps ``fds`` open. ``cgroup``: the target's."""
        self._cgroup = cgroup
        # If the guardian dies first, its orphans come to us, and we kill them.
        libc.become_subreaper()
        control_read, self._control = os.pipe()
        self.report, report_write = os.pipe()
        self._held, held = _socket.socketpair()
        try:
            self.pid = guardian.begin(control_read, report_write, [*fds, held.fileno()], cgroup)
        except OSError as error:
            hint = MORE_PROCESSES if error.errno == errno.EAGAIN else None
            raise CannotStart(
                f"cannot make a process: {error.strerror}", exists=True, hint=hint
            ) from error
        os.close(control_read)
        os.close(report_write)
        held.close()
        os.set_blocking(self.report, False)
        self._messages = json_lines.LineReader(self.report)
        self._unread: list[dict[str, Any]] = []
        self.leaves = False
        self._stops = 0
        self._status: int | None = None

    @property
    def ended(self) -> bool:
        """It is gone, and all that it sent was read."""
        return self._messages.ended

    def send(self, message: Any) -> None:
        """Send a command; a guardian that is gone is noticed by ``read``."""
        json_lines.send(self._control, message)

    def hold(self, fds: Sequence[int]) -> None:
        """Leave copies of these to it: they stay in its end of a socket, unread, and are closed
        when it ends."""
        with contextlib.suppress(OSError):  # then closing ours takes longer
            rights = struct.pack(f"{len(fds)}i", *fds)
            self._held.sendmsg([b"-"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
        self._held.close()

    def read(self) -> list[dict[str, Any]]:
        """Its messages since the last call. ``ended`` is set when it is gone."""
        for _ in range(_LOOKS):
            if not self._keep_going(os.WNOHANG):
                break
            time.sleep(_BREATH)
        messages, self._unread = self._unread + self._messages.drain(), []
        return messages

    def read_one(self) -> dict[str, Any]:
        """Wait for its next message. Raises GuardianLost when it dies without one."""
        while not self._unread:
            select.select([self.report], [], [], _LOOK)  # the target may have stopped it
            self._unread = self.read()
            if self.ended and not self._unread:
                raise GuardianLost("the guardian ended before the target started", exists=True)
        return self._unread.pop(0)

    def leave_containers(self) -> None:
        """The containers have ended, and stay as the user's command leaves them. If the guardian
        was killed, one may just be being made."""
        self.leaves = not self.ended
        self.send("left")

    def release(self) -> None:
        """Close its pipe: it kills what is left and removes the trace instances, without us."""
        self.send("released")
        with contextlib.suppress(OSError):
            os.close(self._control)

    def wait(self) -> bool:
        """Wait until it has ended; True if it did all its work."""
        while self._keep_going(os.WEXITED | os.WNOWAIT):
            pass
        return self._end() == 0

    def _keep_going(self, options: int) -> bool:
        """Continue it if it was stopped, which the target does; True if it was. If that happens
        again and again, kill it and do its work."""
        try:
            stopped = os.waitid(os.P_PID, self.pid, os.WSTOPPED | options)
        except ChildProcessError:
            return False
        if stopped is None or stopped.si_code != os.CLD_STOPPED:
            return False
        with contextlib.suppress(ChildProcessError):  # WNOWAIT left the event in place
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG)
        self._stops += 1
        number = signal.SIGCONT if self._stops <= _MOST_STOPS else signal.SIGKILL
        os.kill(self.pid, number)
        return True

    def _end(self) -> int:
        """Wait for it; its wait status."""
        if self._status is None:
            try:
                self._status = os.waitpid(self.pid, 0)[1]
            except ChildProcessError:  # reaped already
                self._status = 0
        return self._status

    def kill_orphans(self) -> None:
        """When the guardian died before us: kill all that it left to us."""
        self._end()
        kill_descendants(reap_all, self._cgroup)


class Signals:
    """SIGINT, SIGQUIT, SIGTERM and SIGHUP to us, as values on a pipe.

    Signals from the terminal have reached the target too, by its process group; those that a
    process sent to us alone are for the target and must be passed on. ``sigwaitinfo`` shows the
    sender. A shell sends SIGHUP to its jobs when the terminal is gone, too; if SIGHUP is ignored
    (nohup), it means nothing.
    """

    WANTED = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.before = signal.pthread_sigmask(signal.SIG_BLOCK, self.WANTED)
        self.fd, self._write = os.pipe()
        os.set_blocking(self.fd, False)
        self._queue: list[tuple[int, bool]] = []
        self._had_terminal, self._heeds = has_terminal(), signal.getsignal(signal.SIGHUP)
        self.hung_up = False
        """The terminal is gone."""
        self._over = False
        self._thread = threading.Thread(target=self._wait, daemon=True, name="signals")

    def listen(self) -> None:
        """Start the thread that waits for them, after the fork of the guardian. The signals are
        blocked already."""
        self._thread.start()

    def _wait(self) -> None:
        own_caps.keep()
        while True:
            info = signal.sigwaitinfo(self.WANTED)
            if self._over:
                return
            from_process = info.si_code in _SI_USER
            if info.si_signo == signal.SIGHUP and self._heeds != signal.SIG_IGN:
                self.hung_up |= (
                    not from_process
                    or (self._had_terminal and not has_terminal())
                    or relays(info.si_pid)
                )
            self._queue.append((info.si_signo, from_process))
            os.write(self._write, b"s")

    def restore(self) -> None:
        """Restore the handling of signals."""
        self._over = True
        signal.pthread_kill(self._thread.ident or 0, signal.SIGHUP)  # wakes the thread, no more
        self._thread.join()
        while signal.sigtimedwait(self.WANTED, 0):
            pass  # they came too late to change anything; the report is still to be written
        signal.pthread_sigmask(signal.SIG_SETMASK, self.before)

    def received(self) -> Iterator[tuple[int, bool]]:
        """(signal, True if a process sent it to us) since the last call."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 4096)
        while self._queue:
            yield self._queue.pop(0)
