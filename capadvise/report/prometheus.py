"""Counters for the textfile collector of Prometheus' node exporter. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from capadvise.judgement.watched import WatchFinding
from capadvise.model.escape import printable

_MOST = 500
"""Rows; what is beyond is counted together, with ``other`` in the place of the owner's name."""
_LONGEST = 80
_OTHER = ("other", "other", "", "")
_HEAD = """\
# HELP capadvise_refused_calls_total Calls that were refused, by owner, capability and mechanism.
# TYPE capadvise_refused_calls_total counter
"""
_DROPPED = """\
# HELP capadvise_unread_refusals_total New kinds of refusals that came too fast to be read.
# TYPE capadvise_unread_refusals_total counter
capadvise_unread_refusals_total {}
"""


def metrics(findings: Iterable[WatchFinding], dropped: int) -> str:
    """The text of the file."""
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for finding in findings:
        if finding.hidden is None:
            owner = finding.call.owner
            cap = finding.caps[0].name if finding.caps else ""
            row = owner.label[:_LONGEST], str(owner.kind), cap, str(finding.by)
            counts[row if row in counts or len(counts) < _MOST else _OTHER] += finding.count
    rows = (
        f'capadvise_refused_calls_total{{owner="{_label(owner)}",kind="{kind}",'
        f'capability="{cap}",by="{by}"}} {count}\n'
        for (owner, kind, cap, by), count in sorted(counts.items())
    )
    return _HEAD + "".join(rows) + _DROPPED.format(dropped)


def _label(text: str) -> str:
    """A value between quotes (the exposition format escapes three characters)."""
    return printable(text).replace("\\", "\\\\").replace('"', '\\"')
