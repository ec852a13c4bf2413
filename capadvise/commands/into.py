"""``capadvise emit --into``: the answer in the user's own file."""

from __future__ import annotations

import argparse
from pathlib import Path

from capadvise.catalog import default
from capadvise.errors import BadInput, Exit
from capadvise.formats.edit import PATCHES
from capadvise.formats.files import plan
from capadvise.formats.snippet import Snippet
from capadvise.report.model import Report
from capadvise.report.privileged import other_powers
from capadvise.workflow.adding import only_adding
from capadvise.workflow.notice import notice


def patch(args: argparse.Namespace, report: Report, snippet: Snippet) -> int:
    """Show the diff on stdout, then write, unless it is a dry run; what must be known is said on
    stderr."""
    if args.format not in PATCHES:
        raise BadInput(
            f"--into cannot patch {args.format}", hint=f"what it can: {', '.join(PATCHES)}"
        )
    change = plan(Path(args.into), args.format, args.service, snippet)
    notes: list[str] = []
    if report.partial and not args.partial:
        snippet, notes = only_adding(report, snippet, change, args.format)
        change = plan(Path(args.into), args.format, args.service, snippet)
    patched = change.patched
    notes += [*snippet.cautions, *snippet.notes, *patched.notes]
    if patched.unprivileged:
        caps = frozenset(cap for cap, _ in snippet.caps)
        notes += other_powers(report, default(), caps, args.format)
    for note in notes:
        notice(f"note: {note}")
    what = f"{args.into}: {patched.service}" if patched.service else args.into
    if change.empty:
        notice(f"{what}: nothing to change")
        return Exit.OK
    print(change.diff(), end="", flush=True)
    if not args.dry_run:
        change.write()
        notice(f"{what}: written")
    return Exit.OK
