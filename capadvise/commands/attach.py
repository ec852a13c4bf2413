"""``capadvise attach``: watch what runs already, and say what it needs."""

from __future__ import annotations

import argparse
from pathlib import Path

from capadvise.commands.outcome import doubt, preload, print_json, saved, tell, writable
from capadvise.commands.say import say
from capadvise.errors import Exit
from capadvise.linux.ftrace.instances import require
from capadvise.linux.running.record_running import attach
from capadvise.linux.running.target import Running, find
from capadvise.linux.supervise.command import Command


def command(args: argparse.Namespace) -> int:
    """0, or 1 when the check did not pass. The report is written in every case."""
    if args.output:
        writable(Path(args.output))
    require()  # before anything is said of engines that only root may talk to
    running = find(args.what)
    what = Command(
        running.target.argv,
        check=args.check,
        kind=args.kind,
        seconds=args.seconds,
        doubt=None if args.quiet else doubt,
    )

    def begun(processes: int) -> None:
        if not args.quiet:
            say(_watching(running, processes))

    seen = attach(running, what, meanwhile=preload, begun=begun)
    report, path = saved(seen, args.output)
    tell(report, path, seen.check_passed, seen.check_said, args)
    if args.json:
        print_json(report)
    return Exit.FAILED if seen.check_passed is False else Exit.OK


def _watching(running: Running, processes: int) -> str:
    target = running.target
    name = target.name
    if target.kind == "container":
        name = f"{target.engine or ''} container {name}".lstrip()
    many = f"{processes} process{'es' * (processes != 1)}"
    return f"watching {name}, pid {running.pid}, {many}; Ctrl-C ends the recording, it runs on"
