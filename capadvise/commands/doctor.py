"""``capadvise doctor``: what can be observed here."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator

from capadvise.errors import Exit
from capadvise.linux import rights
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
    print(*own_rights(), sep="\n")
    return Exit.OK if able or alone else Exit.CANNOT_OBSERVE


def own_rights() -> Iterator[str]:
    """What capadvise itself may do while a target runs."""
    yield ""
    yield "While a target runs, capadvise keeps of all capabilities, as root:"
    for row in rights.TABLE:
        when = " (only under sudo)" if row.sudo else ""
        first, *more = textwrap.wrap(row.why + when, 76)
        yield f"    {row.name:15} {first}"
        yield from (f"    {'':15} {line}" for line in more)
    yield "The guardian keeps KILL. What either executes as root (checks, engines, trials) has all."
