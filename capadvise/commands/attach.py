"""``capadvise attach``: watch what runs already, and say what it needs."""

from __future__ import annotations

import argparse
from pathlib import Path

from capadvise.errors import Exit
from capadvise.linux.ftrace.instances import require
from capadvise.linux.running.target import Running, find
from capadvise.linux.running.units import is_unit, running_unit
from capadvise.linux.supervise.command import Command
from capadvise.workflow.notice import notice
from capadvise.workflow.record import Wishes, record_running
from capadvise.workflow.reports import (
    FailingCheck,
    check_writable,
    print_json,
    show_proposal,
)


def command(args: argparse.Namespace) -> int:
    """0, or 1 when the check did not pass. The report is written in every case."""
    if args.output:
        check_writable(Path(args.output))
    require()  # before anything is said of engines that only root may talk to
    running = running_unit(args.what) if is_unit(args.what) else find(args.what)
    what = Command(
        running.target.argv,
        check=args.check,
        check_after=args.check_after or 0.0,
        kind=args.kind,
        seconds=args.seconds,
        doubt=None if args.quiet else FailingCheck(),
    )

    def begun(processes: int) -> None:
        if not args.quiet:
            notice(_watching(running, processes))

    screens = not (args.no_tui or args.quiet or args.json)
    over = record_running(running, what, Wishes(args.output, screens=screens), begun)
    show_proposal(over, quiet=args.quiet)
    if args.json:
        print_json(over.report)
    return Exit.FAILED if over.check_passed is False else Exit.OK


def _watching(running: Running, processes: int) -> str:
    target = running.target
    name = target.name
    if target.kind == "container":
        name = f"{target.engine or ''} container {name}".lstrip()
    elif target.kind == "unit":
        name = f"{name}.service"
    many = f"{processes} process{'es' * (processes != 1)}"
    return (
        f"watching {name}, pid {running.pid}, {many}; Ctrl-C ends the recording, the "
        "target keeps running"
    )
