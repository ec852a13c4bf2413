"""``capadvise run``: observe a command and say what it needs."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from capadvise.commands.outcome import doubt, preload, print_json, saved, tell, writable
from capadvise.commands.say import say
from capadvise.errors import BadInput
from capadvise.linux.engines.cli.invocation import Invocation, behind, existing, recognize
from capadvise.linux.ftrace.kallsyms import Reading
from capadvise.linux.kernel.sudo import with_sudo
from capadvise.linux.supervise.command import Command

if TYPE_CHECKING:
    from capadvise.report.model import Report
    from capadvise.tui.protocols import Over


def command(args: argparse.Namespace) -> int:
    """Exit as the target did. The report is written in every case, also after Ctrl-C."""
    argv = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not argv:
        raise BadInput("no command to run", hint="capadvise run -- COMMAND …")
    invocation = recognize(argv)
    if invocation is None and (hidden := behind(argv)):
        raise BadInput(
            f"{argv[0]} would start {hidden.engine}, whose containers are then not seen",
            hint=f"sudo capadvise run -- {shlex.join(hidden.argv())}",
        )
    if invocation is None and (done := existing(argv)):
        raise BadInput(
            f"{done}: a container that exists has the capabilities that it was made with",
            hint="capadvise run -- docker run …, or watch it with: capadvise attach CONTAINER",
        )
    several = invocation is not None and invocation.verb == "compose up"
    if args.output:
        writable(Path(args.output), folder=several)
    if args.prove and args.kind == "daemon" and not args.check and invocation is None:
        raise BadInput("--prove needs --check SHELL: no trial of a daemon could tell success")
    what = Command(
        tuple(argv),
        user=args.user,
        check=args.check,
        kind=args.kind,
        seconds=args.seconds,
        stdout_to_stderr=args.json,
        retry=args.retry,
        doubt=None if args.quiet else doubt,
    )
    if invocation is not None:
        return _containers(invocation, what, args, several=several)
    screens = _has_screens(args)
    table = None if screens or os.geteuid() != 0 else Reading()
    from capadvise.linux.supervise.record import choose, observe  # while the symbols are being read

    what, alone = choose(what)
    if what.unobserved and args.user and os.geteuid() != 0:
        raise BadInput("--user needs root", hint=with_sudo())
    if alone and not args.quiet:
        say(f"{alone}: retries alone show what it needs")
    if screens:
        report, over = _live(what, args)
        path, check_passed, said = over.path, over.check_passed, over.check_said
    else:
        seen = observe(what, meanwhile=preload, table=table)
        report, path = saved(seen, args.output)
        check_passed, said = seen.check_passed, seen.check_said
        if args.prove:
            report = _proven(report, path)
    tell(report, path, check_passed, said, args)
    if args.json:
        print_json(report)
    return _code(report.recording.exit_status)


def _code(status: int | None) -> int:
    return 128 + 9 if status is None else 128 - status if status < 0 else status


def _has_screens(args: argparse.Namespace) -> bool:
    """Whether somebody looks and wants to see more than text."""
    if args.no_tui or args.quiet or args.json or os.environ.get("TERM", "dumb") == "dumb":
        return False
    return all(stream and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def _live(what: Command, args: argparse.Namespace) -> tuple[Report, Over]:
    from capadvise.commands.live import live
    from capadvise.linux.supervise.command import resolve

    resolve(what.argv[0])  # what cannot be started is said without any screen
    what = replace(what, doubt=None)  # a screen is no place for lines on stderr
    return live(what, lambda seen: saved(seen, args.output), prove=args.prove)


def _containers(
    invocation: Invocation, what: Command, args: argparse.Namespace, *, several: bool
) -> int:
    """What the client starts is the target, not the client."""
    from capadvise.linux.engines.record.record import observe_containers

    if args.user:
        raise BadInput("--user is for commands", hint=f"{invocation.engine} run --user USER …")
    if args.retry:
        raise BadInput("--retry is for commands: a container's processes are the engine's")
    until_healthy = args.prove and args.check is None and args.seconds is None
    seen = observe_containers(invocation, what, preload, until_healthy=until_healthy)
    reports = []
    for one in seen.each:
        report, path = saved(one, args.output, several=several)
        if args.prove:
            report = _proven(report, path)
        tell(report, path, one.check_passed, one.check_said, args)
        reports.append(report)
    if args.json:
        print_json(*reports, several=several)
    for name in seen.swept:
        say(
            f"{name}: stopped: it ran on, with every capability, when an earlier capadvise was "
            "killed"
        )
    if seen.left and not args.quiet:
        say(
            f"{', '.join(seen.left)}: stopped and still there, made with every capability: remove "
            "before you start again (docker compose up makes its own anew)"
        )
    return _code(seen.status)


def _proven(report: Report, path: Path) -> Report:
    from capadvise.catalog import default
    from capadvise.commands.prove import prove_report
    from capadvise.report.save import save

    report = prove_report(report)
    save(path, report, default())
    return report
