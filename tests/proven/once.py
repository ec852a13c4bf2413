"""``python -m tests.proven.once FOLDER [--jobs N] [NAME…]``: what one run says of known programs.

Records each workload of ``programs.yaml`` once, as the first trial of a proof does, and keeps the
report in FOLDER; a report that is there already is only judged again, by today's catalog. Prints
what the recommended set of one run has in excess of the proven minimal set, and what of that is
missing. What a program needs only to stop is not counted: a run does not judge that. As root.
Installs nothing: a workload whose packages are missing is left out, and named.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from subprocess import run

import yaml

from capadvise.catalog import default
from capadvise.judgement.decide import decide_all
from capadvise.judgement.report import Report
from capadvise.model.caps import CapSet, parse_set
from capadvise.model.errors import CapadviseError
from capadvise.proof.trials.runner import everything, run_once
from capadvise.proof.trials.stop import Stop
from capadvise.report.load import load
from capadvise.report.merge import numbered
from capadvise.workflow.jobs import Candidate, Ways, candidates
from capadvise.workflow.reports import keep
from tests.proven.run import MADE, Way, programs, ways

TO_STOP = "when it is stopped"
"""So ends what is lost where a trial failed only then."""


def minimal_sets(chosen: Iterable[str]) -> Iterator[tuple[Way, CapSet]]:
    """The workloads that are proven, and their minimal sets; a run does not judge how they stop."""
    for name, program in programs(list(chosen)).items():
        if not (path := MADE / f"{name}.yaml").exists():
            continue
        proven = {one["name"]: one for one in yaml.safe_load(path.read_text())["variants"]}
        for way in ways(program):
            if way.name in proven:
                row = proven[way.name]
                stops = {n["cap"] for n in row["needs"] if n["without"].endswith(TO_STOP)}
                yield way, parse_set(cap for cap in row["minimal"] if cap not in stops)


def lacks(way: Way) -> list[str]:
    """Packages that are not installed."""
    needs = way.raw.get("needs", [])
    words = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *needs]
    told = run(words, capture_output=True, text=True).stdout if needs else ""
    there = {line.split()[0] for line in told.splitlines() if line.endswith(" installed")}
    return sorted(set(needs) - there)


def record(candidate: Candidate, path: Path, stop: Stop) -> None:
    """One run of it with everything: with another start, where its steps have one."""
    job = replace(candidate.job, observed=True, choices=candidate.job.choices[:1])
    outcome, evidence = run_once(job, everything(job), stop)
    if not outcome.passed:
        raise ValueError(f"fails with every capability: {outcome.why}")
    recordings = numbered(evidence.recordings)
    proposal = decide_all(recordings, default())
    target = replace(evidence.target, name=candidate.name)
    keep(path, Report(target, job.workload, evidence.posture, recordings, proposal))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    args.folder.mkdir(exist_ok=True)
    chosen = {way.key: (way, minimal) for way, minimal in minimal_sets(args.names)}
    with Stop() as stop, ThreadPoolExecutor(args.jobs) as pool:
        told = pool.map(partial(_line, args.folder, stop), chosen.values())
        marks = [mark for mark, text in told if print(text, flush=True) is None]
    print(
        f"{len(marks)} workloads: {marks.count('exact')} exact, {marks.count('sound')} sound, "
        f"{marks.count('UNSOUND')} unsound, {marks.count('-')} not recorded"
    )
    return 0


def _line(folder: Path, stop: Stop, each: tuple[Way, CapSet]) -> tuple[str, str]:
    way, minimal = each
    path = folder / f"{way.key}.json"
    try:
        if not path.exists():
            if missing := lacks(way):
                return "-", f"{way.key:40} - lacks {' '.join(missing)}"
            candidate = next(c for c in candidates(way.file, Ways()) if c.name == way.raw["name"])
            record(candidate, path, stop)
        recordings = load(path, default()).recordings
    except (CapadviseError, ValueError) as error:
        return "-", f"{way.key:40} - {error}"
    now = decide_all(recordings, default()).recommended
    faults = [
        f"{word} {' '.join(cap.short for cap in sorted(caps))}"
        for word, caps in (("excess", now - minimal), ("missing", minimal - now))
        if caps
    ]
    mark = "UNSOUND" if minimal - now else "sound" if faults else "exact"
    return mark, f"{way.key:40} {mark:8} {'; '.join(faults)}"


if __name__ == "__main__":
    sys.exit(main())
