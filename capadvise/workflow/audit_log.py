"""Build a report from an audit log: choose the program and judge its refusals."""

import io
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TextIO

from capadvise.catalog import default
from capadvise.judgement.decide import decide
from capadvise.judgement.report import Report
from capadvise.model.errors import BadInput
from capadvise.model.input_file import opened
from capadvise.model.posture import Posture
from capadvise.model.target import Target
from capadvise.model.workload import Workload
from capadvise.observe.audit.denials import Denial, denials, programs, recorded
from capadvise.observe.audit.records import MAX_LINE, Record, may_be_record, parse_lines

MOST_RECORDS = 500_000
"""These take about 1 GB of memory: the user has to cut a larger log to the days in question."""
MOST_OTHER_LINES = 3_000_000
"""That have no record: a file which never ends has more. A long line counts as several."""
_USUAL_LENGTH = 100
_SHORTER = "limit it to the time in question: ausearch --start, journalctl --since"


def report_of_log(log: str, program: str | None) -> Report:
    """Judge the refusals of one program. Raises BadInput if it is not clear which is meant."""
    catalog = default()
    chosen = _chosen(log, denials(_records(log), catalog.syscalls), program)
    recording = recorded(chosen, catalog)
    name = chosen[0].program
    exe = next((denial.exe for denial in chosen if denial.exe), name)
    uid = next((denial.uid for denial in chosen if denial.uid is not None), 0)
    return Report(
        Target("process", name, (exe,), "/", f"{min(uid, 2**32 - 1)}:0"),
        Workload("daemon"),
        Posture(),
        (recording,),
        decide(recording, catalog),
    )


def _chosen(log: str, refused: Sequence[Denial], program: str | None) -> list[Denial]:
    counts = programs(refused)
    if not counts:
        raise BadInput(
            f"{log}: it contains no refusal",
            hint="supported: audit.log, ausearch, journalctl -k, dmesg and logcat",
        )
    wanted = program or (next(iter(counts)) if len(counts) == 1 else None)
    listed = ", ".join(f"{name} ({count})" for name, count in counts.most_common(10))
    if wanted is None:
        raise BadInput(f"{log}: it covers several programs: {listed}", hint="--program NAME")
    chosen = [d for d in refused if wanted in (d.program, d.exe, os.path.basename(d.exe or ""))]
    if not chosen:
        raise BadInput(f"{log}: it has nothing about {wanted}, only about {listed}")
    return chosen


def _records(log: str) -> Iterator[Record]:
    try:
        with _opened(log) as file:
            failed = (
                record
                for record in parse_lines(_lines(log, file))
                if record.type != "SYSCALL" or record.fields.get("success") != "yes"
            )
            for count, record in enumerate(failed):
                if count >= MOST_RECORDS:
                    raise BadInput(
                        f"{log}: more than {MOST_RECORDS} failure records", hint=_SHORTER
                    )
                yield record
    except OSError as error:
        raise BadInput(f"{log}: {error.strerror}") from error


def _opened(log: str) -> TextIO:
    file = opened(sys.stdin.fileno() if log == "-" else log)
    return io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace")


def _lines(log: str, file: TextIO) -> Iterator[str]:
    """Yield lines; the rest of a line that is longer than a record can be is another line. Raises
    BadInput for a file that never ends."""
    left = MOST_OTHER_LINES
    while line := file.readline(MAX_LINE):
        if may_be_record(line):
            yield line
        elif (left := left - 1 - len(line) // _USUAL_LENGTH) < 0:
            said = f"{log}: more than {MOST_OTHER_LINES:,} lines have no audit record"
            raise BadInput(said, hint=_SHORTER)
