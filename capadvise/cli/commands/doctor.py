"""``capadvise doctor``: what can be observed here."""

import argparse
import textwrap
from collections.abc import Iterator

from capadvise.kernel import own_caps
from capadvise.model.errors import Exit
from capadvise.workflow.doctor import examine


def command(args: argparse.Namespace) -> int:
    """Print one line a probe; fail if nothing can be observed."""
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
        print("capability checks cannot be observed here; run uses retries only, which need no")
        print("tracing: each refused call is made again with one capability more")
    else:
        print("capability checks cannot be observed here")
    print(*_own_rights(), sep="\n")
    return Exit.OK if able or alone else Exit.CANNOT_OBSERVE


def _own_rights() -> Iterator[str]:
    yield ""
    yield "While a target runs, capadvise itself keeps only these capabilities, as root:"
    for row in (row for row in own_caps.TABLE if row.applies(sudo=True)):
        when = " (only under sudo)" if row.sudo else ""
        first, *more = textwrap.wrap(row.why + when, 76)
        yield f"    {row.name:15} {first}"
        yield from (f"    {'':15} {line}" for line in more)
    yield (
        "The guardian keeps KILL. Health checks, engines and trials, which either "
        "starts as root, have all."
    )
