"""``capadvise import``: build a report from an audit log."""

import argparse
from pathlib import Path

from capadvise.model.errors import Exit
from capadvise.workflow.audit_log import report_of_log
from capadvise.workflow.reports import check_writable, keep, print_json, print_proposal, report_path


def command(args: argparse.Namespace) -> int:
    """Read the log, judge, save and show."""
    if args.output:
        check_writable(Path(args.output))
    report = report_of_log(args.log, args.program)
    path = keep(report_path(args.output, report.target.name), report)
    if args.json:
        print_json(report, version=args.json)
    else:
        print_proposal(report, path, verbose=args.verbose)
    return Exit.OK
