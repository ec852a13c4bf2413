"""``capadvise catalog``: look at the facts, and check them."""

import argparse
from collections.abc import Callable

from capadvise.catalog import default
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


_OTHERS = (
    *("removal_order", "signs", "host", "names", "syscalls", "platforms", "texts", "clients"),
    *("foreign", "closed_calls", "pod_addable"),
)
"""Facts of which ``check`` has no number to print."""


def _check(_: argparse.Namespace) -> int:
    """Read all facts, as commands read them one by one."""
    facts = default()
    try:
        counted = {
            "capabilities": [facts.entry(Cap(number)) for number in range(len(NAMES))],
            "site rules": facts.sites.rules,
            "kernel functions": facts.askers,
            "preferences": facts.preference,
            "errors of system calls": facts.errnos,
            "runtimes": facts.baselines.runtimes,
            "seccomp profiles": facts.seccomp,
            "exposures": facts.exposures,
            "known programs": [facts.known.program(name) for name in facts.known.names()],
        }
        facts.load()
        for name in _OTHERS:
            getattr(facts, name)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise BadInput(
            f"{facts.folder} is damaged: {error}",
            hint="install capadvise again; in a checkout: python -m tests.generate",
        ) from error
    numbers = ", ".join(f"{len(each)} {kind}" for kind, each in counted.items())
    print(f"{facts.folder}: {numbers}: all good")
    return Exit.OK


_VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "list": _list,
    "show": _show,
    "check": _check,
}
