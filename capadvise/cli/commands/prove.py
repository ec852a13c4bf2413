"""``capadvise prove``: try exactly this set, and show that no member can be dropped."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from capadvise.judgement.report import Report
from capadvise.model.errors import Exit
from capadvise.observe.ftrace.instances import require
from capadvise.proof.trials.runner import BrokenTrial
from capadvise.proof.trials.stop import Stop
from capadvise.workflow.harden import hardened, require_units
from capadvise.workflow.jobs import Candidate, Ways, candidates
from capadvise.workflow.notice import failure
from capadvise.workflow.prove import exit_code, prove_all
from capadvise.workflow.reports import check_writable, keep, print_json, print_proposal, report_path


def command(args: argparse.Namespace) -> int:
    """Prove each workload of a file, or the command of a report."""
    require()
    data = {"fresh": ("fresh", "volumes", "new-volumes"), "data": ("copy",)}.get(args.data)
    ways = Ways(
        *(args.isolate, args.in_place, args.reuse_volumes, args.check, args.check_after, data),
        userns=args.userns,
        trusts=args.trust,
    )
    chosen = list(candidates(Path(args.file), ways))
    several = len(chosen) != 1
    if args.output:
        check_writable(Path(args.output), folder=several)
    if args.harden:
        require_units(one.job for one in chosen)
    with Stop() as stop:
        results = prove_all(chosen, args.output, stop, args.jobs)
    if args.harden:
        results = _hardened(chosen, results, args.output)
    reports = [result for result in results if isinstance(result, Report)]
    _print_results(chosen, results, args)
    if stop.asked:
        return Exit.INTERRUPTED
    code = exit_code(reports)
    return Exit.FAILED if code is Exit.OK and len(reports) != len(chosen) else code


def _hardened(
    chosen: Sequence[Candidate], results: Sequence[Report | BrokenTrial], output: str | None
) -> list[Report | BrokenTrial]:
    """Find the options of systemd that each proven unit works with, and save them in its report."""
    done: list[Report | BrokenTrial] = []
    for one, result in zip(chosen, results, strict=True):
        if isinstance(result, Report):
            report = hardened(result, one.job)
            keep(report_path(output, one.name, several=len(chosen) != 1), report)
            done.append(report)
        else:
            done.append(result)
    return done


def _print_results(
    chosen: Sequence[Candidate], results: Sequence[Report | BrokenTrial], args: argparse.Namespace
) -> None:
    several = len(chosen) != 1
    if args.json:
        reports = [result for result in results if isinstance(result, Report)]
        print_json(*reports, version=args.json, several=several)
    for one, result in zip(chosen, results, strict=True):
        if not isinstance(result, Report):
            failure(f"error: {one.name}", result)
        elif not args.json:
            path = report_path(args.output, one.name, several=several)
            print()
            print_proposal(result, path, verbose=args.verbose)
