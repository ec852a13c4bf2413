"""``capadvise attach``: watch what runs already, and say what it needs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from capadvise.cli.commands.run import asked
from capadvise.cli.commands.screens import show_live
from capadvise.model.errors import BadInput, Exit
from capadvise.observe.ftrace.instances import require
from capadvise.targets.kubernetes.pods import Pods, pods_of, pods_with, require_pods
from capadvise.targets.running.target import find, is_unit, running_unit
from capadvise.workflow.record import Wishes, record_pods, record_running
from capadvise.workflow.reports import check_writable, print_json, show_proposal

if TYPE_CHECKING:
    from capadvise.workflow.protocols import Over


def command(args: argparse.Namespace) -> int:
    """0, or 1 when the check did not pass. The report is written in every case."""
    pods = pods_of(args.what)
    several = pods is not None and pods.several
    if args.output:
        check_writable(Path(args.output), folder=several)
    require()  # first: only root may talk to the engines
    overs = _record(args, pods)
    for over in overs:
        show_proposal(over, quiet=args.quiet, verbose=args.verbose)
    if args.json:
        reports = (over.report for over in overs)
        print_json(*reports, version=args.json, several=several)
    return Exit.FAILED if any(over.check_passed is False for over in overs) else Exit.OK


def _record(args: argparse.Namespace, pods: Pods | None) -> list[Over]:
    what = asked(args)
    screens = None if args.no_tui or args.quiet or args.json else show_live
    wishes = Wishes(args.output, quiet=args.quiet, screens=screens)
    if args.restart and not is_unit(args.what):
        raise BadInput(
            "--restart is for units: NAME.service", hint="capadvise run -- starts anything else"
        )
    if pods is not None:
        require_pods(pods)
    elif is_unit(args.what):
        return [record_running(running_unit(args.what, restart=args.restart), what, wishes)]
    pods = pods or pods_with(args.what)
    if pods is None:
        return [record_running(find(args.what), what, wishes)]
    return record_pods(pods, what, wishes)
