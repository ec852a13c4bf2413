"""``capadvise emit``: the answer in the language of a runtime."""

from __future__ import annotations

import argparse
from pathlib import Path

from capadvise.catalog import default
from capadvise.errors import BadInput, Exit
from capadvise.formats import FORMATS
from capadvise.formats.snippet import snippet_of
from capadvise.report.load import load


def command(args: argparse.Namespace) -> int:
    """Print a snippet, or write it to a file."""
    report = load(Path(args.report), default())
    caps = report.proposal.recommended
    if args.set == "floor":
        if report.proposal.floor is None:
            raise BadInput(f"{args.report}: it has no floor: nothing was proven by trials")
        caps = report.proposal.floor
    text = FORMATS[args.format].render(snippet_of(report, caps, default(), set_name=args.set))
    if args.output is None:
        print(text, end="")
    else:
        from capadvise.report.save import (
            write,
        )  # 8 ms that the usual answer on stdout need not wait

        write(Path(args.output), text, private=False)
    return Exit.OK
