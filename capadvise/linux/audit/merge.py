"""What audit records add to the refusals that were seen: who it was. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from capadvise.linux.tracking.refusals import UNKNOWN_CALL
from capadvise.recording import Refusal, RefusedBy

if TYPE_CHECKING:
    from capadvise.linux.audit.denials import Denial

_COMM = 15
"""Bytes of a program's name in an audit record: TASK_COMM_LEN."""
_KERNEL_NAMES = {"umount2": "umount"}
"""Where a call is called otherwise in the kernel's trace."""


def with_denials(refusals: Sequence[Refusal], found: Iterable[Denial]) -> tuple[Refusal, ...]:
    """The refusals, each told by an audit record that of it; what was not seen is added."""
    counts = Counter({replace(item, count=0): item.count for item in refusals})
    for denial in found:
        if denial.refused and denial.by is not RefusedBy.UNKNOWN:
            _tell(counts, denial)
    return tuple(
        replace(item, count=count)
        for item, count in sorted(counts.items(), key=lambda pair: _order(pair[0]))
        if count > 0
    )


def _order(item: Refusal) -> tuple[str, str, str]:
    return item.syscall, item.errno, item.program


def _tell(counts: Counter[Refusal], denial: Denial) -> None:
    call = _KERNEL_NAMES.get(denial.syscall or "", denial.syscall or UNKNOWN_CALL)
    code = denial.errno or "EPERM"
    same = [item for item in counts if counts[item] > 0 and _is_it(item, denial, call, code)]
    known = [item for item in same if item.by is denial.by and item.syscall == call]
    if known and denial.by is RefusedBy.SECCOMP:
        return  # the trace has it already
    seen = next((item for item in same if item.by is not denial.by or not known), None)
    if seen is not None:
        counts[seen] -= 1
        program, call = seen.program, call if seen.syscall == UNKNOWN_CALL else seen.syscall
        code = seen.errno
    else:
        program = denial.program
    counts[Refusal(call, code, denial.by, program, 0, denial.evidence)] += 1


def _is_it(item: Refusal, denial: Denial, call: str, code: str) -> bool:
    """Whether a record can be about a refusal."""
    if item.program[:_COMM] != denial.program[:_COMM]:
        return False
    if denial.by is RefusedBy.SECCOMP:
        return item.errno == code and item.syscall in (call, UNKNOWN_CALL)
    named = item.syscall == call and item.errno == code
    unnamed = denial.exe is None and item.by is RefusedBy.UNKNOWN  # no record of the system call
    return item.by is not RefusedBy.SECCOMP and (named or unnamed)
