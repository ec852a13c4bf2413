"""``capadvise catalog``: look at the facts, and check them."""

import argparse
from collections.abc import Callable

from capadvise.catalog import compiled, compiling, default
from capadvise.model.caps import NAMES, Cap
from capadvise.model.errors import BadInput, Exit
from capadvise.report.explain import capability_text


def command(args: argparse.Namespace) -> int:
    """Dispatch to list, show or check."""
    return _VERBS[args.verb](args)


def _list(_: argparse.Namespace) -> int:
    for number in range(len(NAMES)):
        entry = default().entry(Cap(number))
        assert entry is not None
        print(f"{number:2}  {entry.cap.short:18} {entry.risk!s:6}  {entry.summary}")
    return Exit.OK


def _show(args: argparse.Namespace) -> int:
    try:
        cap = Cap.parse(args.cap)
    except ValueError as error:
        raise BadInput(str(error), hint="capadvise catalog list shows all") from error
    print("\n".join(capability_text(cap, default(), whole=True)))
    return Exit.OK


def _check(_: argparse.Namespace) -> int:
    """Load every file: the loader refuses what breaks the schema."""
    facts = default()
    path = facts.folder / compiled.FILE
    if path.read_text(encoding="utf-8") != compiling.dump(compiling.compiled(facts.folder)):
        raise BadInput(
            f"{path} does not match its sources",
            hint="to update it, in a checkout: python -m tests.generate",
        )
    entries = [facts.entry(Cap(number)) for number in range(len(NAMES))]
    print(
        f"{facts.folder}: {len(entries)} capabilities, {len(facts.sites.rules)} site rules, "
        f"{len(facts.preference)} preferences, {len(facts.errnos)} errors of system calls, "
        f"{len(facts.baselines.runtimes)} runtimes, "
        f"{len(facts.seccomp)} seccomp profiles: all good"
    )
    return Exit.OK


_VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "list": _list,
    "show": _show,
    "check": _check,
}
