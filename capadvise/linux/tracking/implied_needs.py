"""What a target needs though no check is made for it: inferred from what it executes and calls.

For some, the kernel makes no check at all; for the rest, only once the target holds less than now.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress

from capadvise.caps import CapSet
from capadvise.linux.kernel import file_caps, procfs, syscalls
from capadvise.linux.tracking.distinct_checks import DistinctChecks
from capadvise.linux.tracking.tasks import Scope, Task
from capadvise.recording import Phase

CALLS = syscalls.REACHING | {"capget", "capset", "prctl"}
"""Those that tell something when they end."""
_OWN_SETS = 64


class ImpliedNeeds:
    """Finds needs that the checks do not show."""

    def __init__(
        self,
        counts: DistinctChecks,
        knows: Callable[[int], bool],
        capset_asked: Callable[[int], CapSet | None],
        *,
        here: bool,
        retried: bool,
        scans_told: bool,
    ) -> None:
        """``knows``: whether a thread is followed. ``capset_asked``: the permitted set that a
        thread's oldest call of capset(2) asked for, once for each call; None where that could not
        be read. ``here``: the target has our files and pids, as a command has and a container has
        not. ``retried``: see ``Tracker``. ``scans_told``: events tell who lists processes."""
        self._counts, self._knows, self._capset_asked = counts, knows, capset_asked
        self._here, self._retried, self._scans_told = here, retried, scans_told

    def executed(self, pid: int, task: Task, scope: Scope, path: str) -> None:
        """What a task becomes by the file that it executes."""
        places = [f"/proc/{scope.root}", *["/proc/self"] * self._here]
        gain = file_caps.gain_of_exec(pid, path, places)
        scope.setid_exec |= gain.changes
        if scope.proc_scanners is None and self._scans_told:
            scope.proc_scanners = set()
        if not task.nested:
            if gain.user is not None:
                task.uids = syscalls.Ids(task.uids.real, gain.user, gain.user)
            _must_hold(task, scope, gain.demanded)

    def ended(self, time: int, pid: int, task: Task, call: str, result: int, phase: Phase) -> None:
        """One of CALLS has ended."""
        begun, scope = task.call == call, task.scope  # not all begins are recorded
        if call == "capget":
            # With a null pointer it only asks for the version, as programs do that then demand a
            # fixed set; those that look first adapt to what they have.
            task.looked |= begun and bool(task.values[1])
        elif call == "capset":
            self._capset(pid, task, result)
        elif scope is None or result < 0:
            return
        elif call == "prctl":
            if begun and result == 0 and not task.nested:
                _must_hold(task, scope, syscalls.made_ambient(task.values))
        elif begun:
            self._reached(time, pid, task, call, phase)

    def _capset(self, pid: int, task: Task, result: int) -> None:
        asked = self._capset_asked(pid)  # each call is told once: not only those that count
        told = task.looked or self._retried  # by the tracer, which makes such calls itself
        if task.scope is None or told or result not in (0, -errno.EPERM):
            return
        task.looked = True  # what comes later takes away from this set
        if asked is None:
            task.scope.unread_capset = True
        else:
            _must_hold(task, task.scope, asked)

    def _reached(self, time: int, pid: int, task: Task, call: str, phase: Phase) -> None:
        """A call has acted upon a process, by its pid: in our own pid namespace, hence only where
        the target is no container."""
        args = syscalls.arguments(call, task.values, task.uids, task.gids)
        reached = syscalls.reaches(call, args) if self._here else None
        if reached is None or reached[0] == pid or self._knows(reached[0]):
            return
        other, cap = reached
        with suppress(OSError):
            if procfs.capability_sets(other).permitted:
                self._counts.add_implied(time, pid, task, call, cap, phase)


def _must_hold(task: Task, scope: Scope, caps: CapSet) -> None:
    """Capabilities that must be permitted, though no check asks for them."""
    if caps and len(scope.fixed_capsets) < _OWN_SETS:
        scope.fixed_capsets[task.program, caps] = None
