"""``capadvise emit``: the answer in the language of a runtime."""

from __future__ import annotations

import argparse
from pathlib import Path

from capadvise.catalog import default
from capadvise.errors import BadInput, Exit
from capadvise.formats import FORMATS
from capadvise.formats.snippet import snippet_of
from capadvise.report.load import load
from capadvise.workflow.notice import notice


def command(args: argparse.Namespace) -> int:
    """Print a snippet, write it to a file, or patch one with it."""
    if args.into is not None and args.output is not None:
        raise BadInput("--into changes its file in place: leave --output out")
    if args.into is None and (args.service is not None or args.dry_run):
        raise BadInput("--service and --dry-run are for --into FILE")
    report = load(Path(args.report), default())
    caps = report.proposal.recommended
    if args.set == "floor":
        if report.proposal.floor is None:
            raise BadInput(
                f"{args.report}: it has no minimal set: no trials were made",
                hint=f"capadvise prove {args.report}",
            )
        caps = report.proposal.floor
    answer = snippet_of(report, caps, default(), set_name=args.set)
    # What is imported below, 8 ms and more, the usual answer on stdout need not wait for.
    if args.into is not None:
        from capadvise.commands.into import patch

        return patch(args, report, answer)
    for caution in answer.cautions:
        notice(f"note: {caution}")
    text = FORMATS[args.format].render(answer)
    if args.output is None:
        print(text, end="")
    else:
        from capadvise.report.save import write

        write(Path(args.output), text, private=False)
    return Exit.OK
