"""``capadvise review``: the screens on a saved report."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from capadvise.catalog import default
from capadvise.errors import BadInput, Exit
from capadvise.report.load import load
from capadvise.workflow.screens import has_screens, open_app


def command(args: argparse.Namespace) -> int:
    """Open the review, until the user leaves. What is proven there is saved."""
    path = Path(args.report)
    report = load(path, default())
    if not has_screens():
        raise BadInput(
            "review needs a terminal",
            hint=f"capadvise explain {shlex.quote(args.report)} says the same as text",
        )
    from capadvise.tui.main import Main
    from capadvise.tui.protocols import Over
    from capadvise.workflow.review_prover import ReviewProver

    return open_app(Main(default(), overs=[Over(report, path)], prover=ReviewProver)) or Exit.OK
