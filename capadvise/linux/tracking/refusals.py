"""Refused calls, counted by what is known of each, and told who refused."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from capadvise.caps import Cap
from capadvise.posture import Mac
from capadvise.recording import Check, Namespace, Refusal

SIGSYS = 0
"""In the place of an error number: the process was sent this signal instead."""
UNKNOWN_CALL = "?"
"""A call whose end is not recorded, so that only the signal was seen."""
_DISTINCT = 4096
Denied = tuple[int, int, bytes]
"""A check that was denied: capability, user namespace, stack."""


class Raw(NamedTuple):
    """One kind of refusal, as the events tell it."""

    call: str
    code: int
    program: str
    uid: int
    entered: bool | None
    denied: tuple[Denied, ...]
    nested: bool


def count(refusals: Counter[Raw], raw: Raw) -> None:
    """Count one more. Kinds beyond a bound are thrown together, without their checks."""
    if raw not in refusals and len(refusals) >= _DISTINCT:
        raw = raw._replace(program="?", uid=0, denied=())
    refusals[raw] += 1


def attributed(
    refusals: Mapping[Raw, int],
    site_of: Callable[[bytes], tuple[str, ...]],
    namespace_of: Callable[[int], Namespace],
    checks: Iterable[Check],
    mac: Mac | None,
) -> tuple[Refusal, ...]:
    """Who refused each; those that look the same in the end are one.

    ``checks``: some tell of a refusal that no call's end does.
    """
    from capadvise.catalog import default  # read while the target runs: not before its start
    from capadvise.refused import (
        DeniedCheck,
        RefusedCall,
        decisive,
        refusal,
        refusal_without_end,
    )

    sites, signs = default().sites, default().signs
    counted: Counter[Refusal] = Counter()
    for raw, times in refusals.items():
        denied = tuple(
            dict.fromkeys(
                DeniedCheck(Cap(cap), site_of(stack), namespace_of(pointer))
                for cap, pointer, stack in raw.denied
            )
        )
        known = RefusedCall(
            syscall=raw.call,
            errno="SIGSYS" if raw.code == SIGSYS else errno.errorcode[raw.code],
            program=raw.program,
            uid=raw.uid,
            entered=raw.entered,
            denied=denied,
            own_namespace=raw.nested,
        )
        counted[refusal(known, 0, sites, mac)] += times
    for check in checks:
        asked = DeniedCheck(check.cap, check.site, check.ns)
        if (error := refusal_without_end(check, signs)) and decisive(asked, sites):
            call = check.syscall or UNKNOWN_CALL
            known = RefusedCall(call, error, check.program, check.uid, None, (asked,))
            counted[refusal(known, 0, sites, mac)] += check.count
    return tuple(
        Refusal(item.syscall, item.errno, item.by, item.program, times, item.evidence)
        for item, times in sorted(
            counted.items(), key=lambda pair: (pair[0].syscall, pair[0].errno, pair[0].program)
        )
    )
