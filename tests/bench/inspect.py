"""How long `capadvise inspect` takes for 500 processes, as a list and in full.

Usage: inspect.py [ROUNDS]      (default 5)
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

CAPADVISE = str(Path(sys.executable).with_name("capadvise"))
PROCESSES = 500
BUDGET = 2.0
"""Seconds of an idle machine: processor time is compared, which bears a busy one."""


def seconds(*words: str) -> tuple[float, float]:
    """Wall time and processor time."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([CAPADVISE, "inspect", *words], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return wall, used


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    sleeping = [subprocess.Popen(["sleep", "600"]) for _ in range(PROCESSES)]
    try:
        pids = [str(process.pid) for process in sleeping]
        for name, words in (("one line each", ()), ("in full", pids), ("JSON", ("--json", *pids))):
            found = [seconds(*words) for _ in range(rounds)]
            wall, used = (statistics.median(column) for column in zip(*found, strict=True))
            met = "met" if used <= BUDGET else "NOT MET"
            print(
                f"inspect, {PROCESSES} processes, {name:13} {wall:5.2f} s, {used:5.2f} s of "
                f"processor time; budget {BUDGET:g} s: {met}"
            )
    finally:
        for process in sleeping:
            process.kill()


if __name__ == "__main__":
    main()
