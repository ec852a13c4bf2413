"""Refused calls and who refused them, for people."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator

from capadvise.catalog import Catalog
from capadvise.recording import RefusedBy
from capadvise.refusal import Refusal
from capadvise.refused import refusals
from capadvise.report.escape import printable
from capadvise.report.model import Report

_MOST = 8
_COMMON = (RefusedBy.MODE, RefusedBy.UNKNOWN)
"""Searching paths gives many of these; the others come first."""


def refusal_lines(report: Report, catalog: Catalog) -> Iterator[str]:
    """A line each for the most frequent, at 80 columns; nothing where nothing was refused."""
    counts: Counter[tuple[str, str, RefusedBy, str, str]] = Counter()
    for recording in report.recordings:
        for item in refusals(recording, catalog, report.posture.mac):
            counts[_what(item)] += item.count
    if not counts:
        return
    yield "Refused calls, and what refused them:"
    ranked = sorted(counts.items(), key=lambda pair: (pair[0][2] in _COMMON, -pair[1]))
    for (call, code, by, program, evidence), count in ranked[:_MOST]:
        head = f"  {by:10} {printable(f'{call} {code}, {program}')}, {count}×"
        text = f"{head}: {printable(evidence)}" if evidence else head
        yield from textwrap.wrap(text, 80, subsequent_indent=" " * 13, break_on_hyphens=False)
    if len(counts) > _MOST:
        yield f"  and {len(counts) - _MOST} more: see `refusals` in the report"


def _what(item: Refusal) -> tuple[str, str, RefusedBy, str, str]:
    return item.syscall, item.errno, item.by, item.program, item.evidence
