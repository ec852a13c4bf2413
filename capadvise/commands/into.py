"""``capadvise emit --into``: the answer in the user's own file."""

from __future__ import annotations

import argparse
import shlex
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from capadvise.catalog import default
from capadvise.errors import BadInput, CannotPatch, Exit
from capadvise.formats.declared import Declared
from capadvise.formats.edit import PATCHES
from capadvise.formats.edit.patched import Patched
from capadvise.formats.files import Change, plan
from capadvise.formats.snippet import Snippet
from capadvise.report.escape import printable
from capadvise.report.model import Report
from capadvise.report.privileged import other_powers
from capadvise.workflow.adding import only_adding
from capadvise.workflow.confirm import confirm
from capadvise.workflow.notice import notice


def patch(args: argparse.Namespace, report: Report, snippet: Snippet) -> int:
    """Show the diff on stdout, then write, unless it is a dry run; what must be known is said on
    stderr."""
    if args.format not in PATCHES:
        raise BadInput(
            f"--into cannot patch {args.format}", hint=f"what it can: {', '.join(PATCHES)}"
        )
    change = plan(Path(args.into), args.format, args.service, snippet)
    _ask_for_others(change.patched, consent=args.with_dependents or args.dry_run)
    joined = _joined(change, args.format, report)
    if any(one.no_new_privileges for _, one in joined):  # compose refuses what is said twice
        snippet = replace(snippet, no_new_privileges=False)
        change = plan(Path(args.into), args.format, args.service, snippet)
    notes: list[str] = []
    if report.partial and not args.partial:
        snippet, notes = only_adding(report, snippet, change, args.format)
        change = plan(Path(args.into), args.format, args.service, snippet)
    patched = change.patched
    notes += [*snippet.cautions, *snippet.notes, *patched.notes]
    notes += _on_others(change, joined, snippet)
    if patched.unprivileged:
        caps = frozenset(cap for cap, _ in snippet.caps)
        notes += other_powers(report, default(), caps, args.format)
    for note in notes:
        notice(f"note: {note}")
    what = f"{args.into}: {patched.service}" if patched.service else args.into
    if change.empty:
        notice(f"{what}: nothing to change")
        return Exit.OK
    confirm(change, args.format, snippet, report.target.argv)
    print(change.diff(), end="", flush=True)
    if not args.dry_run:
        change.write()
        notice(f"{what}: written")
        if args.drop_in:
            if shutil.which("systemd-analyze") is None:
                notice("note: not checked: there is no systemd-analyze here")
            unit = shlex.quote(Path(args.into).parent.name.removesuffix(".d"))
            notice(f"it takes effect after: systemctl daemon-reload && systemctl restart {unit}")
    return Exit.OK


def _ask_for_others(patched: Patched, *, consent: bool) -> None:
    """Whoever patches one service need not mean those that extend it."""
    if patched.dependents and not consent:
        raise CannotPatch(
            f"{_extending(patched)} would change too",
            hint="--with-dependents, if that is meant; --dry-run shows the change",
        )


def _joined(change: Change, language: str, report: Report) -> list[tuple[str, Declared]]:
    """The other files whose lists docker compose joins with those that are patched."""
    if language != "compose":
        return []
    from capadvise.workflow.compose_files import beside

    return beside(change.path, change.patched.service, report.target)


def _on_others(
    change: Change, joined: Iterable[tuple[str, Declared]], snippet: Snippet
) -> Iterator[str]:
    patched, wanted = change.patched, {cap.short for cap, _ in snippet.caps}
    if patched.dependents and not change.empty:
        yield f"{_extending(patched)} change too"
    for name, one in joined:
        beyond = sorted({each.upper().removeprefix("CAP_") for each in one.add} - wanted)
        given = ["privileged: true"] * bool(one.privileged) + beyond
        if given:
            yield (
                f"{printable(name)} gives {one.service} {printable(', '.join(given))}, and docker "
                "compose joins these files: patch that one, too"
            )


def _extending(patched: Patched) -> str:
    names = ", ".join(map(printable, patched.dependents))
    several = len(patched.dependents) > 1
    verb, whose = ("extend", "their") if several else ("extends", "its")
    return f"{names} {verb} {patched.service}: {whose} capabilities"
