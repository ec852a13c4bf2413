"""The commands that trials of a report run: another user may have written them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from capadvise.judgement.report import Report
from capadvise.model.escape import printable


def order_of(report: Report) -> tuple[str, ...]:
    """Lines with everything that a proof of the report executes, safe to print, none cut."""
    target, work = report.target, report.workload
    parts = (
        ("set-up", work.setup),
        ("command", shlex.join(target.argv)),
        ("folder", target.cwd),
        ("user", target.user),
        *((str(step.act), step.text) for step in work.steps or ()),
        ("check", work.check),
        ("tear-down", work.teardown),
    )
    return tuple(line for name, text in parts if text for line in _lines(name, text))


def _lines(name: str, text: str) -> Iterator[str]:
    first, *more = text.rstrip("\n").split("\n")
    yield f"{name + ':':10} {printable(first)}"
    for line in more:
        yield f"{'':10} {printable(line)}"
