"""``capadvise emit``: the answer in the language of a runtime."""

from __future__ import annotations

import argparse
from pathlib import Path

from capadvise.catalog import default
from capadvise.commands.into import patch
from capadvise.errors import BadInput, Exit
from capadvise.formats import FORMATS, snippet
from capadvise.report.load import load


def command(args: argparse.Namespace) -> int:
    """Print a snippet, or patch a file with it."""
    if args.into is None and (args.service is not None or args.dry_run):
        raise BadInput("--service and --dry-run are for --into FILE")
    report = load(Path(args.report), default())
    caps = report.proposal.recommended
    if args.set == "floor":
        if report.proposal.floor is None:
            raise BadInput(f"{args.report}: it has no floor: nothing was proven by trials")
        caps = report.proposal.floor
    answer = snippet(report.proposal, caps, name=report.target.name, user=report.target.user)
    if args.into is not None:
        return patch(args, report, answer)
    print(FORMATS[args.format].render(answer), end="")
    return Exit.OK
