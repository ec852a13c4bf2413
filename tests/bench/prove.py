"""How long a proof takes, beside that of another checkout.

Usage: prove.py ORACLE [CHECKOUT [NAME …]]   (root; ORACLE: workloads/oracle.py; CHECKOUT: of an
older version, to be compared with)

The two take turns, so that what else the machine does is shared fairly. A proof of this version
starts each daemon twice in each trial; that one may not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

NAMES = ("nginx-80", "redis-entrypoint", "postgres-su", "sshd-keylogin")
ROUNDS = 3
HERE = Path(__file__).resolve().parents[2]


def seconds(checkout: Path, file: Path, folder: Path, bench: Path) -> tuple[float, int]:
    """Of one proof, and the number of its trials."""
    report = folder / "report.json"
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "capadvise.cli", "prove", "-o", str(report), str(file)],
        env={**os.environ, "PYTHONPATH": str(checkout), "BENCH": str(bench)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=checkout,
    )
    return time.monotonic() - began, len(json.loads(report.read_text())["proof"]["trials"])


def main() -> None:
    """Print a line for each workload: the best of the rounds, the number of trials, the ratio."""
    oracle, *more = sys.argv[1:]
    other = Path(more[0]) if more else None
    names = more[1:] or NAMES
    bench = Path(oracle).resolve().parent
    documents = {
        document["name"]: document
        for path in sorted((bench / "workloads").glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
        if document
    }
    checkouts = [HERE, *([other] if other else [])]
    for name in names:
        best = dict.fromkeys(checkouts, (float("inf"), 0))
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "workload.yaml"
            file.write_text(yaml.safe_dump(documents[name]))
            for _ in range(ROUNDS):
                for checkout in checkouts:
                    took = seconds(checkout, file, Path(scratch), bench)
                    best[checkout] = min(best[checkout], took)
        took, trials = best[HERE]
        line = f"{name:20} {took:6.1f} s {trials:3} trials"
        if other is not None:
            before, before_trials = best[other]
            line += f"   before {before:6.1f} s {before_trials:3} trials   {took / before:.2f} ×"
        print(line, flush=True)


if __name__ == "__main__":
    main()
