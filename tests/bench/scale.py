"""Ten million checks, and a hundred thousand distinct pieces of evidence.

    python -m tests.bench.scale [CHECKS]     (root, for the first table)

Records a target that maps and unmaps memory until the kernel has asked so often, and prints the
largest memory of the supervisor: it is bounded by distinct checks, not by events. Then a report
with 100,000 pieces of evidence, each another program, process and argument, goes through all that
reads one; processor time, and what memory it took at most. tests/bench/tui.py presses keys on it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from capadvise.catalog import default
from capadvise.config.snippet_from import snippet_of
from capadvise.judgement.decide import decide_all
from capadvise.report.diff import diff, diff_text
from capadvise.report.explain_report import report_text
from capadvise.report.load import load
from capadvise.report.merge import merge
from capadvise.report.pages import FORMATS
from capadvise.report.save import save
from capadvise.report.text import proposal_text
from tests.bench.overhead import CAPADVISE
from tests.bench.tui import large

MEMORY_BUDGET = 60.0
"""MB of the supervisor."""
MMAP = """
import mmap
for _ in range({count}): mmap.mmap(-1, 4096).close()
"""


def peak(pid: int) -> float:
    """MB that a process has had at most; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if "VmHWM" in line), 0)


def recorded(count: int, folder: Path) -> float:
    """Record so many checks, and print what it took: MB of the supervisor at most."""
    report = folder / "r.json"
    argv = [CAPADVISE, "run", "-q", "-o", str(report), "--", sys.executable, "-c"]
    began = time.perf_counter()
    process = subprocess.Popen([*argv, MMAP.format(count=count)])
    most = 0.0

    def look() -> None:
        nonlocal most
        while process.poll() is None:
            most = max(most, peak(process.pid))
            time.sleep(0.05)

    looking = threading.Thread(target=look)
    looking.start()
    process.wait()
    looking.join()
    recording = json.loads(report.read_text())["recordings"][0]
    seen = sum(check["count"] for check in recording["checks"])
    met = "met" if most < MEMORY_BUDGET else "NOT MET"
    print(
        f"{seen:,} checks in {time.perf_counter() - began:.0f} s, lost {recording['lost']}; the "
        f"supervisor took {most:.0f} MB at most; budget {MEMORY_BUDGET:.0f} MB: {met}",
        flush=True,
    )
    return most


def timed(name: str, call: Callable[[], object]) -> None:
    """Print the processor time of a call."""
    began = time.process_time()
    call()
    print(f"| {name} | {time.process_time() - began:.2f} |", flush=True)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    catalog = default()
    catalog.preload()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        recorded(count, folder)
        print()
        one = large()
        path = folder / "large.json"
        pieces = sum(len(need.evidence) for need in one.proposal.needs)
        print(f"| {pieces:,} pieces of evidence | s of processor time |\n| --- | --- |")
        timed("decide", lambda: decide_all(one.recordings, catalog))
        timed("save", lambda: save(path, one, catalog))
        timed("load", lambda: load(path, catalog))
        timed("proposal", lambda: list(proposal_text(one, catalog, path)))
        timed("explain", lambda: list(report_text(one, catalog)))
        timed("merge", lambda: merge([("a", one), ("b", one)], catalog, name="x"))
        timed("diff", lambda: list(diff_text(diff(one, one))))
        for name, language in FORMATS.items():
            snippet = snippet_of(one, one.proposal.recommended, catalog)
            timed(f"emit {name}", lambda language=language, s=snippet: language.render(s))
        print(f"\nthe report has {path.stat().st_size / 1e6:.0f} MB;", end=" ")
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"all this took {most:.0f} MB at most")


if __name__ == "__main__":
    main()
