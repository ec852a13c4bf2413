"""Pods that are watched: their containers come and go."""

from __future__ import annotations

import time

from capadvise.kernel import procfs
from capadvise.observe.supervise.decisions import Happening, SupervisorLost
from capadvise.observe.supervise.guardian_client import GuardianProcess
from capadvise.targets.kubernetes.cri.starts import PodStarts
from capadvise.targets.running.not_ours import NotOurs

_GRACE = 3.0
"""Seconds between the end of a pod and the start of another one of its name."""
_EVERY = 0.2
_UNREAD = (
    "this machine was too busy to read which containers began before they were gone ({} of them): "
    "the needs of those that were of these pods are missing"
)


class PodsSubject(NotOurs):
    """See ``event_loop.Subject``. They go on when the recording ends."""

    def __init__(self, starts: PodStarts, guardian: GuardianProcess, *, come: bool) -> None:
        """``come``: there may be more pods later."""
        self._starts, self._guardian, self._come = starts, guardian, come
        self._next, self._alive = 0.0, time.monotonic()
        self.fds = (guardian.report,)

    @property
    def cautions(self) -> tuple[str, ...]:
        """What of the containers was missed."""
        return (_UNREAD.format(self._starts.unread),) if self._starts.unread else ()

    @property
    def begun(self) -> bool:
        """One of the containers."""
        return bool(self._starts.starts)

    def update(self) -> list[Happening]:
        """See whether a pod is still there."""
        self._guardian.read()
        now = time.monotonic()
        if now >= self._next and not self._come:
            self._next = now + _EVERY
            if self._is_there():
                self._alive = now
            self.ended |= now - self._alive > _GRACE
        if self._guardian.ended and not self.ended:
            self.ended = True
            return [SupervisorLost()]
        return []

    def _is_there(self) -> bool:
        """CRI-O makes pods without a process that holds their namespaces: of such a one nobody can
        tell whether it is gone, or waits for the next start of a container."""
        held = self._starts.sandboxes
        if not held:
            return True
        return any(procfs.lives(pid, started) for pid, started in list(held.items()))

    def pids(self) -> list[int]:
        """The processes of all containers."""
        ids = tuple(self._starts.starts)
        return [pid for pid in procfs.processes() if any(i in procfs.cgroup(pid) for i in ids)]
