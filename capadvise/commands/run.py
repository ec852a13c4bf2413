"""``capadvise run``: observe a command and say what it needs."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from capadvise.errors import BadInput
from capadvise.linux.command import Command
from capadvise.linux.observe import Observation, observe


def command(args: argparse.Namespace) -> int:
    """Exit as the target did. The report is written in every case, also after Ctrl-C."""
    argv = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not argv:
        raise BadInput("no command to run", hint="capadvise run -- COMMAND …")
    what = Command(
        tuple(argv),
        user=args.user,
        check=args.check,
        kind=args.kind,
        seconds=args.seconds,
        stdout_to_stderr=args.json,
    )
    return _report(observe(what, meanwhile=_preload), args)


def _preload() -> None:
    """Import and read what is needed after the run, 60 ms, while the kernel makes buffers."""
    from capadvise.catalog import default
    from capadvise.report import text  # noqa: F401

    default().preload()


def _report(seen: Observation, args: argparse.Namespace) -> int:
    from capadvise.catalog import default
    from capadvise.decide import decide
    from capadvise.report.file import Report, dump, save
    from capadvise.report.text import proposal_text

    catalog = default()
    report = Report(
        seen.target,
        seen.workload,
        seen.posture,
        (seen.recording,),
        decide(seen.recording, catalog),
    )
    path = Path(args.output) if args.output else default_path(seen.target.name)
    save(path, report, catalog)
    if args.prove:
        from capadvise.commands.prove import job_of, prove_job

        report = prove_job(report.target.name, job_of(report, isolate=True), report)
        save(path, report, catalog)
    if seen.check_passed and seen.workload.kind == "daemon" and not args.quiet:
        print("\ncapadvise: the check passed, so the target was stopped", file=sys.stderr)
    if args.json:
        print(json.dumps(dump(report, catalog), indent=1))
    if not args.quiet:
        print("", *proposal_text(report, catalog, path), sep="\n", file=sys.stderr)
    if seen.check_passed is False:
        print(
            "capadvise: the check did not pass: what is proposed is what was seen until then",
            file=sys.stderr,
        )
    status = seen.recording.exit_status
    return 128 + 9 if status is None else status


def default_path(name: str) -> Path:
    """Where a report goes that was given no place: the user's state directory. A name that is
    given twice in one process (a second call) stays the same."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "capadvise" / f"{safe_name(name)}-{_STAMP}-{os.getpid()}.json"


def safe_name(name: str) -> str:
    """A file name out of a target's name."""
    return "".join(char if char.isalnum() or char in "._-" else "-" for char in name)[:60] or "run"


_STAMP = time.strftime("%Y%m%d-%H%M%S")
