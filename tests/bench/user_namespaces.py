"""Does "Fits a user namespace" hold? The verdict of a recording beside a trial in one.

Usage: chrt -i 0 python -m tests.bench.user_namespaces [--count=N] [--seed=S] FOLDER … [-- NAME …]
As root; FOLDER holds workload files (tests/bench/workloads, or the oracle's workloads). Not with
nice(1): programs that set their own priority need SYS_NICE then.

Workloads are chosen at random, by the seed, from those whose packages are installed. Each is
recorded with every capability, outside of user namespaces; then it runs once in one, as
``capadvise prove --userns`` does it, and its own check says whether it does its job there. What
disagrees is tried once more. Nothing is compared with a known answer.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from capadvise.catalog import default
from capadvise.judgement.decide import decide_all
from capadvise.judgement.user_namespace import USUAL_IDS, fit_of
from capadvise.proof.trials.runner import BrokenTrial, Job, Stop, everything, run_once
from capadvise.report.text import in_short
from capadvise.workflow.jobs import Ways, candidates

PATIENCE = 4
"""Times as long as a workload allows: the machine may be busy."""


@dataclass(frozen=True)
class Row:
    """The two answers for one workload."""

    name: str
    fits: bool | None
    """By the verdict; None: it does not know."""
    said: str
    passed: bool
    """In the trial."""
    why: str

    @property
    def agrees(self) -> bool:
        return self.fits is self.passed


def installed() -> set[str]:
    """The Debian packages that are there."""
    show = ("dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n")
    done = subprocess.run(show, capture_output=True, text=True, check=True)
    return {line.split()[1] for line in done.stdout.splitlines() if line.startswith("installed ")}


def documents(folders: list[str]) -> Iterator[tuple[dict[str, Any], Path]]:
    """Each workload that can run here, and where ``$BENCH`` is."""
    there = installed()
    for folder in folders:
        for path in sorted(Path(folder).resolve().glob("*.yaml")):
            for document in yaml.safe_load_all(path.read_text()):
                if document and there.issuperset(document.get("needs", ())):
                    yield document, path.parent.parent


def job_of(document: dict[str, Any], bench: Path) -> Job:
    """Its trial outside of user namespaces."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(document, file)
        file.flush()
        (candidate,) = candidates(Path(file.name), Ways())
    work = replace(candidate.job.workload, timeout=PATIENCE * candidate.job.workload.timeout)
    return replace(candidate.job, workload=work, bench=str(bench))


def compare(name: str, job: Job, stop: Stop) -> Row | str:
    """The answers; where there are none, why."""
    caps = everything(job)
    try:
        outcome, seen = run_once(job, caps, stop)
        if not outcome.passed:
            return f"fails without one: {outcome.why}"
        fit = fit_of(decide_all(seen.recordings, default()), default(), seen.posture)
        fits = fit.fits and fit.ids <= USUAL_IDS
        there, _ = run_once(replace(job, userns=True), caps, stop)
        if fits is not there.passed:
            there, _ = run_once(replace(job, userns=True), caps, stop)
    except BrokenTrial as error:
        return str(error)
    return Row(name, fits, in_short(fit), there.passed, there.why)


def main() -> None:
    """Print a row for each, what disagrees in full, and the share."""
    words = sys.argv[1:]
    names = words[words.index("--") + 1 :] if "--" in words else []
    words = words[: words.index("--")] if "--" in words else words
    options = dict(word.removeprefix("--").split("=") for word in words if word.startswith("--"))
    found = list(documents([word for word in words if not word.startswith("--")]))
    seed = int(options.get("seed", time.time()))
    if names:
        chosen = [one for one in found if one[0]["name"] in names]
    else:
        chosen = random.Random(seed).sample(found, min(len(found), int(options.get("count", 40))))
    print(f"{len(chosen)} of {len(found)} workloads, seed {seed}")
    rows: list[Row] = []
    with Stop() as stop:
        for document, bench in chosen:
            name = document["name"]
            row = compare(name, job_of(document, bench), stop)
            if isinstance(row, str):
                print(f"{name:24} not tried: {' '.join(row.split())[:150]}", flush=True)
                continue
            rows.append(row)
            trial = "passes" if row.passed else f"fails: {' '.join(row.why.split())[:150]}"
            mark = "" if row.agrees else "WRONG "
            print(f"{name:24} {mark}{row.said} | {trial}", flush=True)
    agree = sum(row.agrees for row in rows)
    print(
        f"\n{agree} of {len(rows)} verdicts agree with the trial: {agree / max(1, len(rows)):.0%}"
    )


if __name__ == "__main__":
    main()
