"""``capadvise review``: the screens on a saved report."""

from __future__ import annotations

import argparse
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from capadvise.catalog import default
from capadvise.cli.commands.screens import confirm, open_app, pick, prover
from capadvise.model.errors import BadInput, Exit
from capadvise.model.escape import printable
from capadvise.report.load import load
from capadvise.workflow.notice import has_screens
from capadvise.workflow.reports import saved_reports

if TYPE_CHECKING:
    from capadvise.tui.main import Main


def command(args: argparse.Namespace) -> int:
    """Open the review, until the user leaves. A proof that is made there is saved."""
    if args.report is None:
        return _choose()
    return _review(Path(args.report))


def _review(path: Path) -> int:
    report = load(path, default())
    if not has_screens():
        raise BadInput(
            "review needs a terminal",
            hint=f"capadvise explain {shlex.quote(str(path))} prints the same as text",
        )
    from capadvise.tui.first_frame import of_review

    def make() -> Main:
        from capadvise.tui.main import Main
        from capadvise.workflow.protocols import Over

        of_file = partial(prover, saved=True)
        return Main(default(), overs=[Over(report, path)], prover=of_file, confirm=confirm)

    return open_app(make, of_review(report, default())) or Exit.OK


def _choose() -> int:
    """Let the user choose a saved report; without a terminal, list them. The latest comes first."""
    reports = saved_reports()
    if not reports:
        raise BadInput("there is no saved report yet", hint="capadvise run -- COMMAND …")
    if not has_screens():
        for path, _ in reports:
            print(printable(str(path)))
        return Exit.OK
    chosen = pick(reports)
    return Exit.OK if chosen is None else _review(chosen)
