"""Does a busy machine change the recommended sets?

Usage: busy.py [--load N] [--runs N] ORACLE [NAME …]
As root; ORACLE is workloads/oracle.py. Each workload is recorded some times on the machine as it
is, and as often while N processes do nothing but use its processors. Prints the sets of both, and
the load average of each. Begin on a quiet machine: the second half is compared with the first.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.same import answers, listed

SPIN = "while :; do :; done"


@contextmanager
def load(processes: int) -> Iterator[None]:
    """Use the processors as long as the block goes on."""
    spinning = [subprocess.Popen(["sh", "-c", SPIN]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def shown(counts: Counter[str]) -> str:
    """The sets, the most frequent first."""
    return ", ".join(f"{text} ({times}x)" for text, times in counts.most_common())


def main() -> int:
    """Fail where a program did not get one set, in all runs."""
    parser = argparse.ArgumentParser(prog="tests.bench.busy", description=__doc__)
    parser.add_argument("--load", type=int, default=20)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("oracle")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    names = args.names or listed(args.oracle)
    seen: dict[str, list[Counter[str]]] = {name: [] for name in names}
    for processes in (0, args.load):
        with load(processes):
            for name in names:
                seen[name].append(answers(args.oracle, name, args.runs))
            average = os.getloadavg()[0]
        print(f"with {processes} processes beside: load average {average:.1f}", flush=True)
    different = 0
    for name, (quiet, busy) in seen.items():
        differs = len(quiet | busy) > 1
        different += differs
        print(f"{'differs' if differs else 'same':8} {name:20} {shown(quiet)} | {shown(busy)}")
    print(f"different sets: {different} of {len(seen)} programs, {args.runs} runs each")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
