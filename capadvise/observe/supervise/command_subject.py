"""A command below the guardian, with all that it starts."""

import os
import signal
import time
from collections.abc import Callable, Collection, Sequence

from capadvise.kernel import procfs
from capadvise.kernel.process_tree import descendants
from capadvise.observe.supervise.decisions import Happening, MainExited, Moment
from capadvise.observe.supervise.guardian_client import GuardianProcess

_ANNOUNCED_AFTER = 1.0
"""Seconds after which the announcer is called."""
GUARDIAN_KILLED = "capadvise's guardian process was killed, and with it all that it had started"


class CommandSubject:
    """The whole tree of processes of a command. See ``event_loop.Subject``."""

    def __init__(
        self,
        guardian: GuardianProcess,
        root: int,
        *,
        own_terminal: bool,
        others: Callable[[], Collection[int]] = tuple,
        goes_on: Callable[[Sequence[str]], None] | None = None,
    ) -> None:
        """``root``: the pid of its first process. ``own_terminal``: nobody's shell controls it.
        ``others``: the pids of processes that do not belong to the command: the retry tracer.
        ``goes_on``: see ``command.Announcer``."""
        self._guardian, self._root, self._others = guardian, root, others
        self._own_terminal = own_terminal
        self._goes_on, self._exited_at = goes_on, 0.0
        self.fds = (guardian.report,)
        self.cautions: tuple[str, ...] = ()
        self.status: int | None = None
        self.ended = False
        self.begun, self.health = True, None

    def update(self) -> list[Happening]:
        """The events that the guardian reports."""
        happened: list[Happening] = []
        for message in self._guardian.read():
            if "exited" in message:
                self.status = os.waitstatus_to_exitcode(message["exited"])
                self._exited_at = time.monotonic()
                happened.append(MainExited(self.status))
            elif "empty" in message:
                self.ended = True
            elif "stopped" in message:
                self._stop_with_target()
        if self._guardian.ended and not self.ended:
            self._guardian.kill_orphans()
            self.ended = True
            self.cautions = (*self.cautions, GUARDIAN_KILLED)
            happened.append(Moment.SUPERVISOR_LOST)
        self._announce()
        return happened

    def _announce(self) -> None:
        announce = self._goes_on
        if announce is None or self.status is None:
            return
        if time.monotonic() < self._exited_at + _ANNOUNCED_AFTER:
            return
        self._goes_on = None
        alive = (pid for pid in self.pids() if procfs.state(pid) not in ("", "Z"))
        if programs := sorted({procfs.comm(pid) for pid in alive}):
            announce(programs)

    def _stop_with_target(self) -> None:
        """The target stopped: stop, too, for the shell's job control. The guardian wakes us when
        the target goes on. Without a terminal nobody sees a stop, and reading must go on."""
        if (
            not self._own_terminal
            and _in_foreground()
            # t: stopped so, under a tracer; the guardian never reports a stop for tracing alone
            and procfs.state(self._root) in ("T", "t")
        ):
            os.kill(os.getpid(), signal.SIGSTOP)

    def pids(self) -> list[int]:
        """All that descends from the guardian."""
        if self.ended:
            return []
        others = self._others()
        return [pid for pid in descendants(self._guardian.pid) if pid not in others]

    def check_environment(self) -> dict[str, str]:
        """No further variables."""
        return {}

    def signal(self, number: int, *, from_process: bool) -> None:
        """Pass on a signal that was sent to us alone."""
        if from_process:
            self._guardian.send({"signal": number})

    def note_ending(self) -> None:
        """Announce nothing any more."""
        self._goes_on = None

    def stop(self) -> None:
        """SIGTERM; SIGKILL follows for what ignores it."""
        self._guardian.send({"signal": signal.SIGTERM})
        self._guardian.send({"signal": signal.SIGCONT})  # a stopped one can react to it then

    def end_rest(self) -> None:
        """End what is left, as after a shell that dies and leaves its child."""
        self.stop()

    def kill(self) -> None:
        """The guardian kills whatever is left."""
        self._guardian.send("kill")


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False
