"""``capadvise run``: observe a command and say what it needs."""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

from capadvise.cli.commands.screens import show_live
from capadvise.model.errors import BadInput
from capadvise.observe.supervise.command import ANOTHER_FOLLOWS, Command
from capadvise.targets.client.invocation import Invocation
from capadvise.workflow.notice import notice
from capadvise.workflow.record import (
    Wishes,
    container_client,
    is_several,
    record_command,
    record_containers,
    record_unit,
    unit_order,
)
from capadvise.workflow.reports import StderrAnnouncer, check_writable, print_json, show_proposal


def command(args: argparse.Namespace) -> int:
    """Exit as the target did; with ``--prove``, as ``prove`` does. The report is written in every
    case, also after Ctrl-C."""
    argv = _words(args)
    order = unit_order(argv)
    invocation = container_client(argv) if order is None else None
    several = is_several(invocation)
    if args.output:
        check_writable(Path(args.output), folder=several)
    if order is None:
        _refuse_what_does_not_fit(args, invocation)
    else:
        _refuse_for_units(args)
    target = _target(tuple(argv), args)
    wishes = Wishes(
        args.output,
        prove=args.prove or args.harden,
        twice=args.twice,
        harden=args.harden,
        replace=args.replace,
        allow_actions=args.allow_actions,
        downtime=args.downtime,
        quiet=args.quiet,
        screens=None if args.no_tui or args.quiet or args.json or args.twice else show_live,
    )
    show = partial(show_proposal, quiet=args.quiet, verbose=args.verbose)
    if order is not None:
        ended, status = record_unit(order, target, wishes)
        show(ended)
        overs = [ended]
    elif invocation is None:
        ended = record_command(target, wishes)
        show(ended)
        overs, status = [ended], ended.report.recording.exit_status
    else:
        overs, status = record_containers(invocation, target, wishes, show)
    reports = [over.report for over in overs]
    if args.json:
        print_json(*reports, version=args.json, several=several)
    if wishes.prove:
        from capadvise.workflow.prove import exit_code  # trials: other runs do without

        return exit_code(reports, interrupted=any(over.interrupted for over in overs))
    return _exit_code(status)


def _words(args: argparse.Namespace) -> list[str]:
    """The command. Raises BadInput."""
    words: list[str] = args.command[1:] if args.command[:1] == ["--"] else args.command
    if args.copies:
        notice("--copies does nothing any more: --prove tells more")
    if not words:
        raise BadInput("no command to run", hint="capadvise run -- COMMAND …")
    return words


def _refuse_for_units(args: argparse.Namespace) -> None:
    for given, option in (
        (args.user, "--user"),
        (args.retry, "--retry"),
        (args.replace, "--replace"),
        (args.twice, "--twice"),
    ):
        if given:
            raise BadInput(f"{option} is not for units", hint="its manager starts it, as it says")


def _refuse_what_does_not_fit(args: argparse.Namespace, invocation: Invocation | None) -> None:
    if args.harden:
        from capadvise.workflow.harden import for_units_only

        raise for_units_only()
    if args.allow_actions or args.downtime is not None:
        raise BadInput("--allow-actions and --downtime are for units")
    if args.user == "":  # as an unset variable of a script
        raise BadInput("--user is empty", hint="a name or a number")
    if invocation is None:
        if args.replace:
            raise BadInput("--replace is for containers, not for commands")
        if args.prove and args.kind == "daemon" and not args.check:
            from capadvise.workflow.jobs import CHECKS  # the usual run has no use for it

            raise BadInput(
                "--prove needs --check SHELL: without it, a trial of a daemon cannot tell "
                "success from failure",
                hint=CHECKS,
            )
        return
    if args.user:
        raise BadInput(
            "--user is for commands",
            hint=f"{invocation.engine} run --user USER …, or for the podman of that user: "
            f"capadvise run -- sudo -u {args.user} podman run …",
        )
    if args.twice:
        raise BadInput("--twice is for commands", hint="--prove tries containers again")
    if args.retry:
        raise BadInput("--retry is for commands: a container's processes are the engine's")


def _target(argv: tuple[str, ...], args: argparse.Namespace) -> Command:
    return replace(
        asked(args, argv),
        user=args.user,
        stdout_to_stderr=bool(args.json),
        retry=args.retry,
        linger=ANOTHER_FOLLOWS if args.prove or args.twice else 0.0,
    )


def asked(args: argparse.Namespace, argv: tuple[str, ...] = ()) -> Command:
    """The command with the options that ``run`` and ``attach`` have in common."""
    return Command(
        argv,
        check=args.check,
        check_after=args.check_after or 0.0,
        kind=args.kind,
        seconds=args.seconds,
        announcer=None if args.quiet else StderrAnnouncer(),
    )


def _exit_code(status: int | None) -> int:
    return 128 + 9 if status is None else 128 - status if status < 0 else status
