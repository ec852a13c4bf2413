"""What observing costs: ratios to native, from one run, with `strace -f` beside them.

Usage: overhead.py [ROUNDS]      (root; needs strace; default 5 rounds)

The commands of a round are run one after the other, so that a busy machine slows them alike; the
table shows medians over the rounds, and how far the ratios spread. "whole" is the wall time of the
command line; "running" leaves out what starting and ending costs any run, which stands above.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CAPADVISE = str(Path(sys.executable).with_name("capadvise"))
PYTHON = sys.executable
STAT_OPEN = """
import os
for _ in range(5):  # one round is over in 0.2 s, which measures the machine's mood
    for _ in range(150000): os.stat("/etc/passwd")
    for _ in range(30000): os.close(os.open("/etc/passwd", os.O_RDONLY))
"""
MMAP = """
import mmap
for _ in range(300000): mmap.mmap(-1, 4096).close()
"""
FORKS = "i=0; while [ $i -lt 1500 ]; do /bin/true; i=$((i+1)); done"
LOADS: dict[str, tuple[list[str], float]] = {
    "1,500 fork+exec in a shell": (["sh", "-c", FORKS], 1.25),
    "5 × 150,000 stat, 30,000 open": ([PYTHON, "-c", STAT_OPEN], 1.05),
    "300,000 mmap+munmap": ([PYTHON, "-c", MMAP], 2.0),
}
"""Load → command, and the most that it may cost under capadvise, as a ratio."""
START_BUDGET = 0.150
"""Seconds that `run -- true` may add."""


def seconds(command: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begin


def settle() -> None:
    """Give the guardian of the last run time to remove its buffers, which holds a kernel lock."""
    time.sleep(0.6)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as scratch:
        ours = [CAPADVISE, "run", "-q", "-o", f"{scratch}/report.json", "--"]
        strace = ["strace", "-f", "-o", "/dev/null"] if shutil.which("strace") else []

        starts = []
        for _ in range(3 * rounds):
            settle()
            native = seconds(["true"])
            starts.append(seconds([*ours, "true"]) - native)
        added = statistics.median(starts)
        met = "met" if added <= START_BUDGET else "NOT MET"
        print(f"run -- true adds {added * 1000:.0f} ms (budget {START_BUDGET * 1000:.0f}): {met}")
        print()
        print(f"{'load':29} {'native':>8} {'whole':>6} {'running':>8} {'spread':>12} ", end="")
        print(f"{'budget':>7} {'strace -f':>10}")
        for load, (command, budget) in LOADS.items():
            wholes, running, traced, natives = [], [], [], []
            for number in range(rounds):
                settle()
                natives.append(seconds(command))
                observed = seconds([*ours, *command])
                wholes.append(observed / natives[-1])
                running.append((observed - added) / natives[-1])
                if strace and not number:  # slow, and not close to any budget
                    traced.append(seconds([*strace, *command]) / natives[-1])
            middle = statistics.median(running)
            met = "met" if middle <= budget else "NOT MET"
            beside = f"{statistics.median(traced):.1f}" if traced else "-"
            print(
                f"{load:29} {statistics.median(natives):7.2f}s {statistics.median(wholes):6.2f} "
                f"{middle:8.2f} {min(running):5.2f}-{max(running):5.2f} "
                f"{budget:8.2f} {beside:>10}  {met}"
            )


if __name__ == "__main__":
    main()
