"""Calls that have failed, noted for the scope that their thread belongs to."""

from __future__ import annotations

from capadvise.observe.tracking import refusals
from capadvise.observe.tracking.tasks import Scope, Task

_DISTINCT_PIDS = 4096


class RefusalLog:
    """Of one run."""

    def __init__(self) -> None:
        self._scopes: dict[int, Scope] = {}

    def scope_of(self, pid: int) -> Scope | None:
        """Of a thread that a call was refused to; it may have ended."""
        return self._scopes.get(pid)

    def note(
        self,
        pid: int,
        task: Task,
        call: str,
        code: int,
        entered: bool | None,
        denied: tuple[refusals.Denied, ...],
    ) -> None:
        """A call has failed with this error. ``entered``: see ``Tracker._note_refusal``."""
        if task.scope is not None:
            if len(self._scopes) < _DISTINCT_PIDS:
                self._scopes[pid] = task.scope
            uid = task.uids.effective
            raw = refusals.Raw(call, code, task.program, uid, entered, denied, task.nested)
            refusals.count(task.scope.refusals, raw)
