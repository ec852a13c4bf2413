"""``capadvise prove``: try exactly this set, and show that no member can be dropped."""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from capadvise.judgement.report import Report
from capadvise.model.errors import Exit
from capadvise.observe.ftrace.instances import require
from capadvise.proof.trials.runner import BrokenTrial, Job
from capadvise.proof.trials.stop import Stop
from capadvise.workflow.harden import hardened, require_units
from capadvise.workflow.jobs import Candidate, Ways, candidates
from capadvise.workflow.notice import failure
from capadvise.workflow.opening import needs_proof, opened, require_containers
from capadvise.workflow.prove import exit_code, prove_all
from capadvise.workflow.reports import check_writable, keep, print_json, print_proposal, report_path


def command(args: argparse.Namespace) -> int:
    """Prove each workload of a file, or the command of a report."""
    require()
    data = {"fresh": ("fresh", "volumes", "new-volumes"), "data": ("copy",)}.get(args.data)
    ways = Ways(
        *(args.isolate, args.in_place, args.reuse_volumes, args.check, args.check_after, data),
        userns=args.userns,
        old_image=args.old_image,
        trusts=args.trust,
        allow_actions=args.allow_actions,
        downtime=args.downtime,
    )
    chosen = list(candidates(Path(args.file), ways))
    several = len(chosen) != 1
    if args.output:
        check_writable(Path(args.output), folder=several)
    more: Callable[[Report, Job], Report] | None = None
    if args.harden:
        require_units(one.job for one in chosen)
        more = hardened
    elif args.without is not None:
        more = partial(opened, args.without)
        require_containers(one.job for one in chosen)
    with Stop() as stop:
        results = _proven(chosen, args, stop)
    if more is not None:
        results = _with_more(chosen, results, args.output, more)
    reports = [result for result in results if isinstance(result, Report)]
    _print_results(chosen, results, args)
    if stop.asked:
        return Exit.INTERRUPTED
    code = exit_code(reports)
    return Exit.FAILED if code is Exit.OK and len(reports) != len(chosen) else code


def _proven(
    chosen: Sequence[Candidate], args: argparse.Namespace, stop: Stop
) -> list[Report | BrokenTrial]:
    """Prove each; to do without a capability of a set, one that is proven is not proven again."""
    if args.without is not None and not any(needs_proof(one.known) for one in chosen):
        return [one.known for one in chosen if one.known]
    return prove_all(chosen, args.output, stop, args.jobs)


def _with_more(
    chosen: Sequence[Candidate],
    results: Sequence[Report | BrokenTrial],
    output: str | None,
    more: Callable[[Report, Job], Report],
) -> list[Report | BrokenTrial]:
    done: list[Report | BrokenTrial] = []
    for one, result in zip(chosen, results, strict=True):
        if isinstance(result, Report):
            result = more(result, one.job)
            keep(report_path(output, one.name, several=len(chosen) != 1), result)
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
