"""Run real programs again and again: does `capadvise run` recommend the same set each time?

Usage: same.py [--runs N] ORACLE [NAME …]
As root; ORACLE is workloads/oracle.py, beside a folder `workloads`. Without names, those with the
tag `capset`: programs that set their own capabilities, of which /proc soon tells nothing.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.bench.score import recommend

RUNS = 20


def listed(oracle: str, tag: str = "") -> list[str]:
    """The names of the workloads, or of those with the tag."""
    listing = subprocess.run(
        [sys.executable, oracle, "list"], capture_output=True, text=True, check=True
    )
    rows = [line.split() for line in listing.stdout.splitlines() if line.split()]
    return [row[0] for row in rows if not tag or tag in row[2:]]


def answers(oracle: str, name: str, runs: int) -> Counter[str]:
    """The recommended sets of all runs."""
    counts: Counter[str] = Counter()
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as scratch:
            caps = recommend(oracle, name, Path(scratch))
        text = "no report" if caps is None else " ".join(cap.removeprefix("CAP_") for cap in caps)
        counts[text or "nothing"] += 1
    return counts


def main() -> int:
    """Fail where a program got two answers, or none."""
    words, runs = sys.argv[1:], RUNS
    if "--runs" in words:
        at = words.index("--runs")
        runs = int(words[at + 1])
        del words[at : at + 2]
    oracle, *names = words
    wrong = 0
    for name in names or listed(oracle, "capset"):
        counts = answers(oracle, name, runs)
        wrong += len(counts) > 1 or "no report" in counts
        for text, times in counts.most_common():
            print(f"{name:20} {times:3} of {runs}  {text}", flush=True)
    print(f"different answers: {wrong}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
