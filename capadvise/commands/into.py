"""``capadvise emit --into``: the answer in the user's own file."""

from __future__ import annotations

import argparse
import shlex
import shutil
from pathlib import Path

from capadvise.errors import BadInput, CannotPatch, Exit
from capadvise.formats.edit import PATCHES
from capadvise.formats.edit.patched import Patched
from capadvise.formats.snippet import Snippet
from capadvise.gate.patching import extending, patching
from capadvise.report.model import Report
from capadvise.workflow.confirm import confirm
from capadvise.workflow.notice import notice


def patch(args: argparse.Namespace, report: Report, snippet: Snippet) -> int:
    """Show the diff on stdout, then write, unless it is a dry run; what must be known is said on
    stderr."""
    if args.format not in PATCHES:
        raise BadInput(
            f"--into cannot patch {args.format}", hint=f"what it can: {', '.join(PATCHES)}"
        )
    into = Path(args.into)
    made = patching(into, args.format, args.service, snippet, report, replaces=args.partial)
    change, snippet = made.change, made.snippet
    patched = change.patched
    _ask_for_others(patched, consent=args.with_dependents or args.dry_run)
    for note in (*snippet.cautions, *made.notes):
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
            f"{extending(patched)} would change too",
            hint="--with-dependents, if that is meant; --dry-run shows the change",
        )
