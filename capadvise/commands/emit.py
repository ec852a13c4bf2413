"""``capadvise emit``: the answer in the language of a runtime."""

from __future__ import annotations

import argparse
from pathlib import Path

from capadvise.catalog import default
from capadvise.errors import BadInput, Exit
from capadvise.formats import FORMATS, snippet
from capadvise.report.load import load


def command(args: argparse.Namespace) -> int:
    """Print a snippet."""
    report = load(Path(args.report), default())
    caps = report.proposal.recommended
    if args.set == "floor":
        if report.proposal.floor is None:
            raise BadInput(f"{args.report}: it has no floor: nothing was proven by trials")
        caps = report.proposal.floor
    print(
        FORMATS[args.format].render(
            snippet(report.proposal, caps, name=report.target.name, user=report.target.user)
        ),
        end="",
    )
    return Exit.OK
