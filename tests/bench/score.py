"""Score `capadvise run` over real workloads: is the proposed set sound, is it exactly minimal?

Usage: score.py ORACLE [NAME …]      (root; ORACLE is the path of workloads/oracle.py)

Each workload is run once under capadvise with everything allowed; the oracle then judges the
recommended set by trial. Nothing is compared with a known answer.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

CAPADVISE = Path(sys.executable).with_name("capadvise")


def recommend(oracle: str, name: str, folder: Path) -> list[str] | None:
    """The recommended set for one workload; None when capadvise gave no report."""
    report = folder / f"{name}.json"
    tool = [str(CAPADVISE), "run", "-q", "-o", str(report)]
    done = subprocess.run(
        [sys.executable, oracle, "wrap", "-o", "/dev/null", name, "--", *tool, "--"],
        capture_output=True,
        text=True,
    )
    if not report.exists():
        print(f"{name}: no report: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return None
    answer = json.loads(report.read_text())
    unknown = {
        (check["cap"], *check["site"][:3])
        for need in answer["needs"]
        for check in answer["recordings"][0]["checks"]
        if need["uncertain"] == "unknown call site" and check["id"] in need["evidence"]
    }
    for site in sorted(unknown):
        print(f"{name}: unknown call site {' < '.join(site)}", file=sys.stderr)
    return list(answer["proposal"]["recommended"])


def main() -> None:
    oracle, *names = sys.argv[1:]
    if not names:
        listing = subprocess.run(
            [sys.executable, oracle, "list"], capture_output=True, text=True, check=True
        )
        names = [line.split()[0] for line in listing.stdout.splitlines()]
    with tempfile.TemporaryDirectory() as scratch:
        found = {name: recommend(oracle, name, Path(scratch)) for name in names}
        answers = Path(scratch) / "answers.json"
        answers.write_text(
            json.dumps({name: caps for name, caps in found.items() if caps is not None})
        )
        subprocess.run([sys.executable, oracle, "score", str(answers), "-j", "2"], check=False)


if __name__ == "__main__":
    main()
