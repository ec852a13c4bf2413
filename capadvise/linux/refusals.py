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


class Raw(NamedTuple):
    """One kind of refusal, as the events tell it."""

    call: str
    code: int
    program: str
    uid: int
    entered: bool | None
    denied: tuple[tuple[int, int, bytes], ...]
    """(cap, namespace, stack) of each check that was answered with no."""
    nested: bool


def count(refusals: Counter[Raw], raw: Raw) -> None:
    """Count one more. Kinds beyond a bound are thrown together, without their checks."""
    if raw not in refusals and len(refusals) >= _DISTINCT:
        raw = raw._replace(program="?", uid=0, denied=())
    refusals[raw] += 1


def is_refused_by_mode(check: Check) -> bool:
    """Whether a check is the last question of generic_permission(), which fails with EACCES when
    it is refused, in a call whose end was not recorded."""
    last = check.cap == _DAC_OVERRIDE and "generic_permission" in check.site
    return last and not check.granted and check.result is None


_DAC_OVERRIDE = Cap.parse("DAC_OVERRIDE")


def attributed(
    refusals: Mapping[Raw, int],
    site_of: Callable[[bytes], tuple[str, ...]],
    namespace_of: Callable[[int], Namespace],
    checks: Iterable[Check],
    mac: Mac | None,
) -> tuple[Refusal, ...]:
    """Who refused each; those that look the same in the end are one.

    ``checks``: where a file's mode is asked about, the last answer is the call's, so that calls too
    frequent for their ends to be recorded are not missed.
    """
    from capadvise.catalog import default  # read while the target runs: not before its start
    from capadvise.refused import Denied, Refused, decisive, refusal

    sites = default().sites
    found: Counter[Refusal] = Counter()
    for raw, times in refusals.items():
        denied = tuple(
            dict.fromkeys(
                Denied(Cap(cap), site_of(stack), namespace_of(pointer))
                for cap, pointer, stack in raw.denied
            )
        )
        known = Refused(
            syscall=raw.call,
            errno="SIGSYS" if raw.code == SIGSYS else errno.errorcode[raw.code],
            program=raw.program,
            uid=raw.uid,
            entered=raw.entered,
            denied=denied,
            own_namespace=raw.nested,
        )
        found[refusal(known, 0, sites, mac)] += times
    for check in checks:
        asked = Denied(check.cap, check.site, check.ns)
        if is_refused_by_mode(check) and decisive(asked, sites):
            call = check.syscall or UNKNOWN_CALL
            known = Refused(call, "EACCES", check.program, check.uid, None, (asked,))
            found[refusal(known, 0, sites, mac)] += check.count
    return tuple(
        Refusal(item.syscall, item.errno, item.by, item.program, times, item.evidence)
        for item, times in sorted(
            found.items(), key=lambda pair: (pair[0].syscall, pair[0].errno, pair[0].program)
        )
    )
