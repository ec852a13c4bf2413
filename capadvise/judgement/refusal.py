"""Refusals, and what audit records add to those that were seen: who it was. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from capadvise.model.recording import UNKNOWN_CALL, AuditDenial, RefusedBy

_COMM = 15
"""Bytes of a program's name in an audit record: TASK_COMM_LEN."""
_KERNEL_NAMES = {"umount2": "umount"}
"""Where a call is called otherwise in the kernel's trace."""
_MOST = 4096
"""So often one record is counted: as many as a recorder keeps."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A system call that was refused, ``count`` times, and by whom."""

    syscall: str
    errno: str
    by: RefusedBy
    program: str
    count: int
    evidence: str = ""
    """What tells, as a sentence."""


def with_denials(
    refusals: Sequence[Refusal], denials: Iterable[AuditDenial]
) -> tuple[Refusal, ...]:
    """The refusals, each told by an audit record that of it; what was not seen is added."""
    counts = Counter({replace(item, count=0): item.count for item in refusals})
    for denial in denials:
        for _ in range(min(denial.count, _MOST)):
            _tell(counts, denial)
    return tuple(
        replace(item, count=count)
        for item, count in sorted(counts.items(), key=lambda pair: _order(pair[0]))
        if count > 0
    )


def _order(item: Refusal) -> tuple[str, str, str]:
    return item.syscall, item.errno, item.program


def _tell(counts: Counter[Refusal], denial: AuditDenial) -> None:
    call = _KERNEL_NAMES.get(denial.syscall, denial.syscall)
    same = [item for item in counts if counts[item] > 0 and _is_it(item, denial, call)]
    known = [item for item in same if item.by is denial.by and item.syscall == call]
    if known and denial.by is RefusedBy.SECCOMP:
        return  # the trace has it already
    seen = next((item for item in same if item.by is not denial.by or not known), None)
    program, code = denial.program, denial.errno
    if seen is not None:
        counts[seen] -= 1
        program, call = seen.program, call if seen.syscall == UNKNOWN_CALL else seen.syscall
        code = seen.errno
    counts[Refusal(call, code, denial.by, program, 0, denial.evidence)] += 1


def _is_it(item: Refusal, denial: AuditDenial, call: str) -> bool:
    """Whether a record can be about a refusal."""
    if item.program[:_COMM] != denial.program[:_COMM]:
        return False
    if denial.by is RefusedBy.SECCOMP:
        return item.errno == denial.errno and item.syscall in (call, UNKNOWN_CALL)
    named = item.syscall == call and item.errno == denial.errno
    unnamed = not denial.of_a_call and item.by is RefusedBy.UNKNOWN
    return item.by is not RefusedBy.SECCOMP and (named or unnamed)
