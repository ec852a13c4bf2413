"""``capadvise doctor``: what can be observed here."""

import argparse
import textwrap
from collections.abc import Iterator

from capadvise.kernel import own_caps
from capadvise.model.errors import Exit
from capadvise.model.escape import printable
from capadvise.workflow.doctor import examine


def command(args: argparse.Namespace) -> int:
    """Print one line a probe; fail if nothing can be observed."""
    if args.self_test:
        return _self_test()
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


def _self_test() -> int:
    from capadvise.workflow.self_check import self_test

    print("A small program whose needs are known, recorded in every way that works here:")
    passed: list[str] = []
    failed: list[str] = []
    for tried in self_test():
        word = "--" if tried.good is None else "ok" if tried.good else "no"
        seconds = "" if tried.seconds is None else f"{tried.seconds:.1f} s"
        print(f"{word}  {tried.how:12} {seconds:>6}  {printable(tried.said)}", flush=True)
        if tried.remedy:
            print(f"{'':26}→ {printable(tried.remedy)}")
        if tried.good is not None:
            (passed if tried.good else failed).append(tried.how)
    print()
    if not passed and not failed:
        print("nothing can be observed here: see capadvise doctor")
        return Exit.CANNOT_OBSERVE
    if not failed:
        print("the answer was right each time")
        return Exit.OK
    print(f"the answer was wrong with: {', '.join(failed)}")
    if passed:
        print(f"until this is fixed: CAPADVISE_OBSERVER={passed[0]} capadvise run …")
    return Exit.FAILED


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
