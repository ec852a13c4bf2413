"""``capadvise import``: build a report from an audit log."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from capadvise.catalog import default
from capadvise.model.errors import Exit
from capadvise.report.text import proposal_text
from capadvise.workflow.audit_log import report_of_log
from capadvise.workflow.notice import columns
from capadvise.workflow.reports import check_writable, keep, print_json, report_path


def command(args: argparse.Namespace) -> int:
    """Read the log, judge, save and show."""
    if args.output:
        check_writable(Path(args.output))
    report = report_of_log(args.log, args.program)
    path = keep(report_path(args.output, report.target.name), report)
    if args.json:
        print_json(report, version=args.json)
    else:
        text = proposal_text(
            report, default(), path, columns=columns(sys.stdout), verbose=args.verbose
        )
        print(*text, sep="\n")
    return Exit.OK
