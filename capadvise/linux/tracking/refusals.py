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


def refusal_without_end(check: Check) -> str | None:
    """The error of a refusal that the end of its call does not tell: of generic_permission(), whose
    last question is for DAC_OVERRIDE, in a call whose end was not recorded; and of a netlink
    request, which is refused in the message that answers it."""
    if check.granted or (check.result is not None and check.result < 0):
        return None
    if check.in_request:
        return "EPERM"
    last = check.cap == _DAC_OVERRIDE and "generic_permission" in check.site
    return "EACCES" if last and check.result is None else None


_DAC_OVERRIDE = Cap.parse("DAC_OVERRIDE")


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
        if (error := refusal_without_end(check)) and decisive(asked, sites):
            call = check.syscall or UNKNOWN_CALL
            known = Refused(call, error, check.program, check.uid, None, (asked,))
            found[refusal(known, 0, sites, mac)] += check.count
    return tuple(
        Refusal(item.syscall, item.errno, item.by, item.program, times, item.evidence)
        for item, times in sorted(
            found.items(), key=lambda pair: (pair[0].syscall, pair[0].errno, pair[0].program)
        )
    )
