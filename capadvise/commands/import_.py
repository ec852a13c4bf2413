"""``capadvise import``: a report out of an audit log."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from capadvise.catalog import default
from capadvise.commands.outcome import default_path, writable
from capadvise.decide import decide
from capadvise.errors import BadInput, Exit
from capadvise.linux.audit.denials import Denial, denials
from capadvise.linux.audit.recording import programs, recorded
from capadvise.linux.audit.records import MAX_LINE, Record, parse_lines
from capadvise.posture import Posture
from capadvise.recording import Target
from capadvise.report.dump import dump
from capadvise.report.model import Report
from capadvise.report.save import save
from capadvise.report.text import proposal_text
from capadvise.workload import Workload

MOST_RECORDS = 500_000
"""About 1 GB of memory: a larger log is to be cut to the days in question."""


def command(args: argparse.Namespace) -> int:
    """Read the log, judge, save and show."""
    path = Path(args.output) if args.output else None
    if path:
        writable(path)
    catalog = default()
    found = _chosen(denials(_records(args.log), catalog.syscalls), args)
    recording = recorded(found, catalog)
    name = found[0].program
    exe = next((denial.exe for denial in found if denial.exe), name)
    uid = next((denial.uid for denial in found if denial.uid is not None), 0)
    report = Report(
        Target("process", name, (exe,), "/", f"{min(uid, 2**32 - 1)}:0"),
        Workload("daemon"),
        Posture(),
        (recording,),
        decide(recording, catalog),
    )
    path = path or default_path(name)
    save(path, report, catalog)
    if args.json:
        print(json.dumps(dump(report, catalog), indent=1))
    else:
        print(*proposal_text(report, catalog, path), sep="\n")
    return Exit.OK


def _chosen(found: Sequence[Denial], args: argparse.Namespace) -> list[Denial]:
    """The denials of the program that is meant. Raises BadInput where that is not clear."""
    counts = programs(found)
    if not counts:
        raise BadInput(
            f"{args.log}: no refusal is in it",
            hint="known are audit.log, ausearch, journalctl -k, dmesg and logcat",
        )
    wanted = args.program or (next(iter(counts)) if len(counts) == 1 else None)
    listed = ", ".join(f"{name} ({count})" for name, count in counts.most_common(10))
    if wanted is None:
        raise BadInput(f"{args.log}: it is about several programs: {listed}", hint="--program NAME")
    chosen = [d for d in found if wanted in (d.program, d.exe, os.path.basename(d.exe or ""))]
    if not chosen:
        raise BadInput(f"{args.log}: nothing of {wanted} is in it, only of {listed}")
    return chosen


def _records(log: str) -> Iterator[Record]:
    try:
        with _opened(log) as file:
            failed = (
                record
                for record in parse_lines(_lines(file))
                if record.type != "SYSCALL" or record.fields.get("success") != "yes"
            )
            for count, record in enumerate(failed):
                if count >= MOST_RECORDS:
                    raise BadInput(
                        f"{log}: more than {MOST_RECORDS} records of failures",
                        hint="cut it to the days in question: ausearch --start, journalctl --since",
                    )
                yield record
    except OSError as error:
        raise BadInput(f"{log}: {error.strerror}") from error


def _opened(log: str) -> TextIO:
    if log == "-":
        return os.fdopen(os.dup(0), encoding="utf-8", errors="backslashreplace")
    return open(log, encoding="utf-8", errors="backslashreplace")


def _lines(file: TextIO) -> Iterator[str]:
    """Lines, none longer than a record can be: what is left of a longer one comes as another."""
    while line := file.readline(MAX_LINE):
        yield line
