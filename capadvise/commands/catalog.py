"""``capadvise catalog``: look at the facts, and check them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

from capadvise.caps import NAMES, Cap
from capadvise.catalog import compiled, default
from capadvise.errors import BadInput, Exit
from capadvise.report.explain import capability_text


def command(args: argparse.Namespace) -> int:
    """Dispatch to list, show, check or compile."""
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
    fresh = compiled.compiled(facts.folder)
    if compiled.load(facts.folder) != json.loads(compiled.dump(fresh)):
        raise BadInput(
            f"{facts.folder / compiled.FILE} is not what its sources give",
            hint=f"capadvise catalog compile > {facts.folder / compiled.FILE}",
        )
    entries = [facts.entry(Cap(number)) for number in range(len(NAMES))]
    baselines = facts.baselines
    print(
        f"{facts.folder}: {len(entries)} capabilities, {len(facts.sites.rules)} site rules, "
        f"{len(facts.preference)} preferences, {len(facts.errnos)} errors of system calls, "
        f"{len(baselines.runtimes)} runtimes, {len(baselines.linters)} linters, "
        f"{len(facts.seccomp)} seccomp profiles: all good"
    )
    return Exit.OK


def _compile(_: argparse.Namespace) -> int:
    print(compiled.dump(compiled.compiled(default().folder)), end="")
    return Exit.OK


_VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "list": _list,
    "show": _show,
    "check": _check,
    "compile": _compile,
}
