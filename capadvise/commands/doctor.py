"""``capadvise doctor``: what can be observed here."""

from __future__ import annotations

import argparse

from capadvise.errors import Exit
from capadvise.linux.doctor import examine


def command(args: argparse.Namespace) -> int:
    """Print one line a probe; fail where nothing can be observed."""
    del args
    able = True
    for finding in examine():
        word = "ok" if finding.good else "no" if finding.needed else "--"
        print(f"{word:2}  {finding.probe:15} {finding.said}")
        if finding.remedy:
            print(f"    {'':15} → {finding.remedy}")
        able &= finding.good or not finding.needed
    print()
    print(
        "capability checks can be observed here, through the tracepoint"
        if able
        else "capability checks cannot be observed here"
    )
    return Exit.OK if able else Exit.CANNOT_OBSERVE
