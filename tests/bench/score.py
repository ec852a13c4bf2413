"""Score `capadvise run` over real workloads: is the proposed set sound, is it exactly minimal?

Usage: score.py [--prove|--retry|--alone] [--sets FILE] ORACLE [NAME …]
As root; ORACLE is workloads/oracle.py.

With --prove, `capadvise prove` finds the sets by trial, and the number of trials is held against
the budget of 3 + 2 for each recommended capability; without, `capadvise run` proposes them, with
--retry under EPERM retries, with --alone by those alone, without the kernel's trace. With --sets,
the proposed sets are written into FILE, to be compared with those of another version.

Each workload is run once under capadvise with everything allowed; the oracle then judges the
recommended set by trial. Nothing is compared with a known answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from capadvise.catalog import default
from capadvise.judgement.decide import decide_all
from capadvise.report.load import load_recording

RETRY = ["--retry"] * ("--retry" in sys.argv or "--alone" in sys.argv)
ALONE = ["env", "CAPADVISE_OBSERVER=retry"] * ("--alone" in sys.argv)
"""The oracle gives what it wraps an environment of its own."""
CAPADVISE = Path(sys.executable).with_name("capadvise")


def record(
    oracle: str, name: str, folder: Path, options: Sequence[str] = RETRY
) -> dict[str, Any] | None:
    """The report on one workload; None when capadvise gave none."""
    report = folder / f"{name}.json"
    tool = [*ALONE, str(CAPADVISE), "run", "-q", *options, "-o", str(report)]
    for _ in range(3):  # a check that passes at once ends capadvise while it still starts
        done = subprocess.run(
            [sys.executable, oracle, "wrap", "-o", "/dev/null", name, "--", *tool, "--"],
            capture_output=True,
            text=True,
        )
        if report.exists():
            break
    else:
        print(f"{name}: no report: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return None
    return dict(json.loads(report.read_text()))


def recommend(oracle: str, name: str, folder: Path) -> list[str] | None:
    """The recommended set for one workload; None when capadvise gave no report."""
    answer = record(oracle, name, folder)
    if answer is None:
        return None
    unknown = {
        (check["cap"], *check["site"][:3])
        for need in answer["needs"]
        for check in answer["recordings"][0]["checks"]
        if str(need["uncertain"]).startswith("unknown call site")
        and check["id"] in need["evidence"]
    }
    for site in sorted(unknown):
        print(f"{name}: unknown call site {' < '.join(site)}", file=sys.stderr)
    return list(answer["proposal"]["recommended"])


def prove(oracle: str, names: list[str], folder: Path) -> dict[str, dict[str, Any]]:
    """The reports of `capadvise prove` over the oracle's own workload files."""
    workloads = Path(oracle).resolve().parent / "workloads"
    chosen = folder / "chosen.yaml"
    found = [
        document
        for path in sorted(workloads.glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
        if document and document["name"] in names
    ]
    chosen.write_text(yaml.safe_dump_all(found))
    reports = folder / "reports"
    output = reports if len(found) > 1 else reports / f"{found[0]['name']}.json"
    subprocess.run(
        [str(CAPADVISE), "prove", "-j", "2", "-o", str(output), str(chosen)],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "BENCH": str(workloads.parent)},
    )
    return {path.stem: json.loads(path.read_text()) for path in sorted(reports.glob("*.json"))}


def score_proofs(oracle: str, names: list[str], folder: Path) -> None:
    """Judge minimal and recommended set, and hold the number of trials against the budget."""
    over = 0
    minimal_sets, recommended = {}, {}
    for name, report in prove(oracle, names, folder).items():
        minimal = report["proposal"]["minimal"]
        trials = [t for t in report["proof"]["trials"] if not t["repeat"]]
        first = decide_again(report)
        budget = 3 + 2 * first
        over += len(trials) > budget
        mark = "over" if len(trials) > budget else ""
        print(f"{name:24} {len(trials):3} trials of {budget:2} {mark:5} minimal {minimal}")
        if minimal is None:
            continue
        minimal_sets[name] = minimal
        recommended[name] = report["proposal"]["recommended"]
    print(f"\nover budget: {over}\n\nminimal:")
    judge(oracle, minimal_sets, folder)
    print("\nrecommended:")
    judge(oracle, recommended, folder)


def decide_again(report: dict[str, Any]) -> int:
    """How many capabilities were recommended before the trials."""
    recordings = [load_recording(recording) for recording in report["recordings"]]
    return len(decide_all(recordings, default()).recommended)


def names_of(oracle: str) -> list[str]:
    """The names of an oracle's workloads."""
    listing = subprocess.run(
        [sys.executable, oracle, "list"], capture_output=True, text=True, check=True
    )
    return [line.split()[0] for line in listing.stdout.splitlines()]


def judge(oracle: str, answers: dict[str, list[str]], folder: Path) -> None:
    """Let the oracle judge sets by trial."""
    if not answers:
        print("nothing to judge")
        return
    path = folder / "answers.json"
    path.write_text(json.dumps(answers))
    subprocess.run([sys.executable, oracle, "score", str(path), "-j", "2"], check=False)


def main() -> None:
    with_trials = "--prove" in sys.argv
    words = sys.argv[1:]
    if not words or {"-h", "--help"} & set(words):
        raise SystemExit(__doc__)
    sets = None
    if "--sets" in words:
        at = words.index("--sets")
        sets = Path(words[at + 1])
        del words[at : at + 2]
    oracle, *names = [word for word in words if not word.startswith("-")]
    names = names or names_of(oracle)
    with tempfile.TemporaryDirectory() as scratch:
        if with_trials:
            score_proofs(oracle, names, Path(scratch))
            return
        proposed = {name: recommend(oracle, name, Path(scratch)) for name in names}
        answers = {name: caps for name, caps in proposed.items() if caps is not None}
        if sets is not None:
            lines = [f"{name:24} {' '.join(caps)}\n" for name, caps in sorted(answers.items())]
            sets.write_text("".join(lines))
        judge(oracle, answers, Path(scratch))


if __name__ == "__main__":
    main()
