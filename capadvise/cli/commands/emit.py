"""``capadvise emit``: the answer in the language of a runtime."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from capadvise.catalog import default
from capadvise.config.snippet import Snippet
from capadvise.config.snippet_from import snippet_of
from capadvise.judgement.report import Report
from capadvise.model.errors import BadInput, Exit
from capadvise.report.load import load
from capadvise.report.pages import FORMATS
from capadvise.workflow.notice import notice


def command(args: argparse.Namespace) -> int:
    """Print a snippet, write it to a file, or patch one with it."""
    _check(args)
    report = load(Path(args.report), default())
    if args.drop_in:
        args.format, args.into = "systemd", _drop_in(args, report)
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
        if args.key is not None:
            raise BadInput("--key prints values: leave --into out")
        from capadvise.cli.commands.into import patch

        return patch(args, report, answer)
    if args.format == "label" and os.path.isfile(args.report):  # a pipe is read once
        answer = replace(answer, digest=_digest(Path(args.report)))
    for caution in answer.cautions:
        notice(f"note: {caution}")
    text = FORMATS[args.format].render(answer) if args.key is None else _values(answer, args)
    if args.output is None:
        print(text, end="")
    else:
        from capadvise.report.save import write

        write(Path(args.output), text, private=False)
    return Exit.OK


def _check(args: argparse.Namespace) -> None:
    """Raises BadInput for options that do not go together."""
    if args.drop_in and (args.into is not None or args.format not in (None, "systemd")):
        raise BadInput("--drop-in is a file of systemd's: leave --into and other formats out")
    if args.format is None and not args.drop_in:
        raise BadInput("--format is missing", hint=f"one of: {', '.join(FORMATS)}")
    changes = args.into is not None or args.drop_in
    if changes and args.output is not None:
        raise BadInput("--into and --drop-in change a file in place: leave --output out")
    if args.into is None and args.service is not None:
        raise BadInput("--service is for --into FILE")
    if args.dry_run and not changes:
        raise BadInput("--dry-run is for --into FILE and --drop-in")


def _drop_in(args: argparse.Namespace, report: Report) -> str:
    """Where the drop-in of the unit belongs that was recorded."""
    from capadvise.config.systemd.file import drop_in_of
    from capadvise.gate.installed import UNIT_PATH, unit_file
    from capadvise.model.target import recorded_unit

    unit = recorded_unit(report.target.argv) if report.target.kind == "unit" else None
    if unit is None:
        raise BadInput(
            f"{args.report}: it is no recording of a systemd unit",
            hint="name its file: --format systemd --into "
            "/etc/systemd/system/UNIT.service.d/capadvise.conf",
        )
    if unit_file(unit, UNIT_PATH) is None and not args.dry_run:
        raise BadInput(
            f"{unit} is no unit of this machine",
            hint="--dry-run shows the drop-in, --format systemd -o FILE writes it elsewhere",
        )
    return drop_in_of(unit)


def _digest(path: Path) -> str:
    """Says which report a label speaks of, to who has the report."""
    import hashlib

    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def _values(answer: Snippet, args: argparse.Namespace) -> str:
    if args.format != "kubernetes":
        raise BadInput("--key is for --format kubernetes: values of a Helm chart")
    from capadvise.config.kubernetes.file import helm_values

    return helm_values(answer, str(args.key))
