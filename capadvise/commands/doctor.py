"""``capadvise doctor``: what can be observed here."""

from __future__ import annotations

import argparse

from capadvise.errors import Exit
from capadvise.linux.doctor import examine


def command(args: argparse.Namespace) -> int:
    """Print one line a probe; fail where nothing can be observed."""
    del args
    able, alone, through = True, False, "tracepoint"
    for finding in examine():
        word = "ok" if finding.good else "no" if finding.needed else "--"
        print(f"{word:2}  {finding.probe:15} {finding.said}")
        if finding.remedy:
            print(f"    {'':15} → {finding.remedy}")
        through = finding.probe if finding.chosen else through
        able &= finding.good or not finding.needed
        alone |= finding.good and finding.probe == "retries"
    print()
    if able:
        print(f"capability checks can be observed here, through the {through}")
    elif alone:
        print("capability checks cannot be observed here; run uses retries alone, which need no")
        print("tracing: what is refused is tried again, and that shows what was missing")
    else:
        print("capability checks cannot be observed here")
    return Exit.OK if able or alone else Exit.CANNOT_OBSERVE
