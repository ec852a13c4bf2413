"""``capadvise merge``: several runs of one target as one report."""

import argparse
from pathlib import Path

from capadvise.catalog import default
from capadvise.judgement.conclusion import conclude_report
from capadvise.model.errors import Exit
from capadvise.report.load import load
from capadvise.report.merge import merge
from capadvise.report.save import save
from capadvise.report.text import called
from capadvise.report.words import order_of
from capadvise.workflow.notice import notice
from capadvise.workflow.reports import print_json
from capadvise.workflow.trust import distrusted


def command(args: argparse.Namespace) -> int:
    """Write the merged report; notes on it go to stderr."""
    catalog = default()
    merged = merge(
        [(path, load(Path(path), catalog)) for path in args.reports], catalog, name=args.name
    )
    report = merged.report
    if args.output:
        save(Path(args.output), report, catalog)
    else:
        print_json(report, version=args.json or 2)
    for path in args.reports:
        if why := distrusted(Path(path)):
            notice(f"note: {why}; trials of the merged report run what it says:")
            for line in order_of(report):
                notice(f"  {line}")
            break
    notice(conclude_report(report, catalog).headline(called(report)))
    for need in report.proposal.needs:
        used, of = need.seen
        if need.cap in report.proposal.recommended and of > 1:
            notice(f"{need.cap.short}: used in {used} of {of} runs")
    for note in merged.notes:
        notice(f"note: {note}")
    return Exit.OK
