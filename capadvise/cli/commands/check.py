"""``capadvise check``: the gate. It holds what files grant against rules and reports."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from capadvise.catalog import Catalog, default
from capadvise.cli.parser.base import renamed
from capadvise.gate.finding import Level
from capadvise.gate.gathering import Gathered, gather, gather_units, read_text
from capadvise.gate.outcome import Demands, Examined, Outcome, examine
from capadvise.model.errors import BadInput, Exit
from capadvise.model.escape import printable
from capadvise.workflow.notice import answer, notice
from capadvise.workflow.resolve import AskingConsumers

if TYPE_CHECKING:
    from capadvise.gate.baseline import ReportFolder

_NAMED = 4
"""So many files without a service are named."""


def command(args: argparse.Namespace) -> int:
    """Print the findings; 1 when the gate failed, 2 when a file could not be judged."""
    wanted = _format(args)
    if args.output is not None:
        from capadvise.workflow.reports import check_writable

        check_writable(Path(args.output))
    catalog = default()
    gathered = _gathered(args, catalog)
    _print_remarks(gathered)
    baseline = _baseline(args, gathered, catalog)
    if args.fix:
        if baseline is None:
            raise BadInput("--fix writes the sets that reports recommend: it needs --against")
        from capadvise.workflow.patch_file import fix

        fix(gathered.sources, baseline)
        gathered = gather(args.files, catalog, AskingConsumers(always=args.resolve))
    level = Level(args.require) if args.require in list(Level) else None
    platform = args.require if args.require and level is None else ""
    policy = Demands(args.allow_unknown, level, platform, args.as_of or "")
    files = tuple(examine(source, catalog, baseline, policy) for source in gathered.sources)
    files = _accept(files, gathered, args)
    if args.write_exceptions or args.upgrade:
        return _write_exceptions(Outcome(files, strict=args.strict), args)
    unusable, skipped = tuple(gathered.unusable), gathered.skipped
    outcome = Outcome(files, strict=args.strict, unusable=unusable, skipped=skipped)
    _check_single(args, baseline, outcome)
    lines = _findings(outcome, wanted, gathered, baseline, installed=args.installed)
    answer("".join(f"{line}\n" for line in lines), args.output)
    if unusable:
        return Exit.USAGE
    return Exit.OK if outcome.passed else Exit.FAILED


def _format(args: argparse.Namespace) -> str:
    """The format of the findings. ``--output`` once named the format; a file of such a name is
    ``./json``."""
    if args.output in ("text", "json", "sarif", "github"):
        renamed(f"check --output {args.output}", f"--format {args.output}")
        args.format, args.output = args.output, None
    return args.format or "text"


def _gathered(args: argparse.Namespace, catalog: Catalog) -> Gathered:
    if not args.installed:
        if not args.files:
            raise BadInput("no file is named", hint="capadvise check FILE …, or --installed")
        return gather(args.files, catalog, AskingConsumers(always=args.resolve))
    if args.files or args.fix or args.resolve:
        raise BadInput("--installed reads the units of this machine, and only reads them")
    from capadvise.gate import installed as gate_installed

    units = gate_installed.installed(gate_installed.UNIT_PATH)
    return gather_units(units, catalog, AskingConsumers())


def _print_remarks(gathered: Gathered) -> None:
    for item in gathered.unusable:
        from capadvise.cli.files import wrong_kind  # only errors need it

        wrong = wrong_kind("check", item.path)
        message, hint = (str(wrong), wrong.hint) if wrong else (item.message, item.hint)
        print(f"capadvise: error: {printable(message)}", file=sys.stderr)
        if hint:
            print(f"capadvise: hint: {printable(hint)}", file=sys.stderr)
    idle = [each.paths[0] for each in gathered.sources if not each.declared and not each.remarks]
    for path in idle[:_NAMED]:
        from capadvise.cli.files import wrong_kind

        said = f"{path}: it holds no service or container to judge"
        notice(f"note: {wrong_kind('check', path) or said}")
    if len(idle) > _NAMED:
        notice(f"note: {len(idle) - _NAMED} more files hold none")


def _baseline(
    args: argparse.Namespace, gathered: Gathered, catalog: Catalog
) -> ReportFolder | None:
    if not args.against:
        return None
    from capadvise.gate.baseline import ReportFolder

    count = sum(len(source.declared) for source in gathered.sources)
    return ReportFolder(Path(args.against), catalog, alone=count == 1)


def _check_single(
    args: argparse.Namespace, baseline: ReportFolder | None, outcome: Outcome
) -> None:
    """Refuse a single report that no service has: the user meant one of them."""
    if baseline is None or not baseline.single or any(s.report for s in outcome.services):
        return
    if outcome.services:
        name = printable(baseline.report(baseline.paths[0]).target.name)
        raise BadInput(
            f"{args.against}: it is of {name!r}, and no service has that name",
            hint="name the report SERVICE.json",
        )


def _accept(
    files: tuple[Examined, ...], gathered: Gathered, args: argparse.Namespace
) -> tuple[Examined, ...]:
    """The files with accepted findings marked, and with a finding for each idle exception."""
    inline = () if args.no_inline else tuple(gathered.acceptances)
    if not inline and not args.exceptions:
        return files
    from capadvise.gate import accepting

    today = date.today()
    loaded: tuple[accepting.Acceptance, ...] = ()
    if args.exceptions and not (args.write_exceptions and not Path(args.exceptions).exists()):
        text = read_text(args.exceptions, named=True)
        loaded = accepting.load(Path(args.exceptions), text, today)
    findings = [finding for file in files for finding in file.findings]
    every = [item for item in (*inline, *loaded) if not item.is_open(findings)]
    idle = tuple(accepting.left_over(findings, (*inline, *loaded), today))
    marked = tuple(file.accepting(every, today) for file in files)
    if idle and marked:
        marked = (*marked[:-1], replace(marked[-1], remarks=(*marked[-1].remarks, *idle)))
    return marked


def _write_exceptions(outcome: Outcome, args: argparse.Namespace) -> int:
    """Write an exception for each finding that fails the gate; with --upgrade, name the thing of
    each older exception."""
    from capadvise.gate import accepting
    from capadvise.workflow.patch_file import write_text

    if not args.exceptions or not args.write_exceptions:
        raise BadInput("name the file: --exceptions FILE --write-exceptions")
    path, today = Path(args.exceptions), date.today()
    text = read_text(args.exceptions) if path.exists() else ""
    loaded = accepting.load(path, text, today) if text else ()
    if args.upgrade:
        every = tuple(accepting.upgraded(loaded, outcome.findings, today))
    else:
        if not (args.owner or "").strip() or not (args.reason or "").strip():
            raise BadInput("an exception has an owner and a reason: --owner NAME --reason TEXT")
        failing = [each for each in outcome.failing if each.rule != "unused-exception"]
        every = (*loaded, *accepting.for_findings(failing, args.owner, args.reason, today))
    write_text(path, text, accepting.rendered(every))
    notice(f"{path}: written")
    return Exit.OK


def _findings(
    outcome: Outcome,
    wanted: str,
    gathered: Gathered,
    baseline: ReportFolder | None,
    *,
    installed: bool,
) -> Iterable[str]:
    """The findings in a format, line by line."""
    if wanted == "text":
        from capadvise.gate.text import installed_text, outcome_text

        return installed_text(outcome) if installed else outcome_text(outcome)
    from capadvise.gate import gitlab, machine

    match wanted:
        case "json":
            return (machine.outcome_json(outcome),)
        case "sarif":
            from capadvise.workflow.patch_file import planned_edits

            edits = planned_edits(gathered.sources, baseline) if baseline else {}
            return (machine.outcome_sarif(outcome, edits),)
        case "gitlab-code-quality":
            return (gitlab.code_quality(outcome),)
        case "gitlab-sast":
            return (gitlab.sast(outcome),)
        case _:
            return machine.outcome_github(outcome)
