"""Refused calls, counted by kind. A later step judges the causes."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Mapping

from capadvise.kernel import syscalls
from capadvise.model.caps import Cap
from capadvise.model.recording import DeniedCheck, Namespace, RefusedCall
from capadvise.observe.tracking.tasks import Denied, RawRefusal, Scope, Task

SIGSYS = 0
"""In the place of an error number: the process was sent this signal instead."""
_DISTINCT = 4096


def count(refusals: Counter[RawRefusal], raw: RawRefusal) -> None:
    """Count one more. Kinds beyond a limit are counted as one, without their checks."""
    if raw not in refusals and len(refusals) >= _DISTINCT:
        raw = raw._replace(program="?", uid=0, denied=())
    refusals[raw] += 1


def named(
    refusals: Mapping[RawRefusal, int],
    site_of: Callable[[bytes], tuple[str, ...]],
    namespace_of: Callable[[int], Namespace],
) -> tuple[RefusedCall, ...]:
    """The refused calls with names for the kernel's numbers and addresses."""
    counts: Counter[RefusedCall] = Counter()
    for raw, times in refusals.items():
        denied = tuple(
            dict.fromkeys(
                DeniedCheck(Cap(cap), site_of(stack), namespace_of(pointer))
                for cap, pointer, stack in raw.denied
            )
        )
        code = "SIGSYS" if raw.code == SIGSYS else errno.errorcode[raw.code]
        counts[
            RefusedCall(*(raw.call, code, raw.program, 0, raw.uid, raw.entered, denied, raw.nested))
        ] += times
    return tuple(call.counted(times) for call, times in counts.items())


def is_begun(call: str, result: int, begins: Mapping[int, str]) -> bool:
    """True if the begin of a call is recorded: a seccomp filter, which runs first, answered a call
    that ends without a begin (syscall_trace_enter() of kernel/entry/common.c). clone is recorded if
    it makes namespaces, and only that is not permitted (EPERM)."""
    if call == "clone":
        return result == -errno.EPERM
    return call in begins.values() and call not in syscalls.FILTERS


_DISTINCT_PIDS = 4096


class RefusalLog:
    """The refused calls of one run."""

    def __init__(self) -> None:
        self._scopes: dict[int, Scope] = {}

    def scope_of(self, pid: int) -> Scope | None:
        """The scope of a thread that a call was refused to; it may have ended."""
        return self._scopes.get(pid)

    def note(
        self,
        pid: int,
        task: Task,
        call: str,
        code: int,
        entered: bool | None,
        denied: tuple[Denied, ...],
    ) -> None:
        """A call has failed with this error. ``entered``: see ``Tracker._note_refusal``."""
        if task.scope is not None:
            if len(self._scopes) < _DISTINCT_PIDS:
                self._scopes[pid] = task.scope
            uid = task.uids.effective
            raw = RawRefusal(call, code, task.program, uid, entered, denied, task.nested)
            count(task.scope.refusals, raw)
