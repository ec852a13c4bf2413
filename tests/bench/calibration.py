"""How far can the word of one run be trusted? Its standings next to what trials say.

Usage: calibration.py [-j N] [--twice] [--lots] [--only NAMES] [--json FILE] [ORACLE …]
As root. Each odd program (tests/support/odd_programs.py), and with ORACLE (workloads/oracle.py)
each workload beside it, is recorded once with everything allowed; with --twice, doubts are settled
by a second run; with --lots, also those of the blind lots (tests/bench/workloads). Then trials,
in which capadvise has no part, judge the recommended set:

  right    it passes, and fails without any one member
  excess   it passes, and some member is not needed
  wrong    it fails

The table counts them for each standing. Exit status 1: an answer was called recorded, without a
doubt, and is wrong.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench.score import CAPADVISE, names_of, record
from tests.support.odd_programs import OddProgram
from tests.support.odd_trials import Known, NotFurnished, by_name, excess_of, run

TESTS = Path(__file__).parents[1]
KNOWN_LOTS = TESTS / "data" / "blind-lots.json"
VERDICTS = ("right", "excess", "wrong")


@dataclass(frozen=True)
class Answer:
    """The answer of one run, and what trials say of it."""

    name: str
    kind: str
    standing: str
    doubt: str | None
    recommended: tuple[str, ...]
    verdict: str = ""
    fault: str = ""

    @property
    def said(self) -> str:
        """``recorded``, ``recorded with a doubt``, ``likely``."""
        doubts = self.doubt is not None and self.standing == "recorded"
        return self.standing + " with a doubt" * doubts

    @property
    def misled(self) -> bool:
        """It is wrong, and nothing had warned."""
        return self.verdict == "wrong" and self.said == "recorded"


@dataclass(frozen=True)
class JudgedSet:
    """A set that a trial was made of: its excess; None if the program fails with it."""

    name: str
    caps: tuple[str, ...]
    excess: list[str] | None


def answer_of(name: str, kind: str, report: dict[str, Any]) -> Answer:
    """The words of a report."""
    conclusion = report["conclusion"]
    caps = tuple(cap.removeprefix("CAP_") for cap in conclusion["recommended"])
    return Answer(name, kind, conclusion["standing"], conclusion["doubt"], caps)


def judged(answer: Answer, missing: Iterable[str], excess: list[str] | None) -> Answer:
    """With the verdict of the trials."""
    verdict = "wrong" if excess is None else "excess" if excess else "right"
    fault = {"wrong": f"lacks {' '.join(missing)}", "excess": f"{' '.join(excess or ())} too many"}
    return Answer(**asdict(answer) | {"verdict": verdict, "fault": fault.get(verdict, "")})


def recorded(program: OddProgram, options: Sequence[str]) -> Answer | None:
    """One run of an odd program under capadvise."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        tool = [str(CAPADVISE), "run", "-q", "--no-tui", *options, "-o", str(path)]
        if program.stop_after is not None:
            tool += ["--for", str(program.stop_after)]
        output = run(program, [*tool, "--"], tool=True).output
        if path.exists():
            return answer_of(program.name, program.kind, json.loads(path.read_text()))
    print(f"{program.name}: no report: {output[-300:]}", file=sys.stderr)
    return None


def judge_odd(
    known: Known, options: Sequence[str], program: OddProgram
) -> tuple[Answer | None, JudgedSet | None]:
    """The answer, and the set that had to be tried for it."""
    try:
        answer = recorded(program, options)
        if answer is None:
            return None, None
        minimal, caps, tried = known.minimal[program.name], list(answer.recommended), None
        words = " ".join(caps)
        if caps == minimal:
            excess: list[str] | None = []
        elif words in known.judged.get(program.name, {}):
            excess = known.judged[program.name][words]
        else:
            excess = excess_of(program, frozenset(caps))
            tried = JudgedSet(program.name, answer.recommended, excess)
        return judged(answer, [cap for cap in minimal if cap not in caps], excess), tried
    except NotFurnished as error:
        print(error, file=sys.stderr)
        return None, None


def odd_answers(names: Iterable[str], jobs: int, options: Sequence[str]) -> Iterator[Answer]:
    """The answers on the odd programs whose sets are known."""
    known = Known.load()
    programs = [program for program in by_name(names) if program.name in known.minimal]
    with ProcessPoolExecutor(jobs) as pool:
        for answer, tried in pool.map(partial(judge_odd, known, options), programs):
            if tried is not None:
                Known.add(Known({}, {tried.name: {" ".join(tried.caps): tried.excess}}))
            if answer is not None:
                yield answer


def workload_answers(
    oracle: str, names: Iterable[str], jobs: int, options: Sequence[str]
) -> Iterator[Answer]:
    """The answers on an oracle's workloads, which it judges by its own trials: those of now, or
    those by which it has found the minimal set (``truth/NAME.json``)."""
    wanted = set(names)
    chosen = [name for name in names_of(oracle) if not wanted or name in wanted]
    kind = Path(oracle).resolve().parent.name
    with tempfile.TemporaryDirectory() as folder:
        reports = {name: record(oracle, name, Path(folder), options) for name in chosen}
        answers = [answer_of(n, kind, report) for n, report in reports.items() if report]
        right = [answer for answer in answers if answer.recommended == minimal(oracle, answer.name)]
        yield from (judged(answer, (), []) for answer in right)
        answers = [answer for answer in answers if answer not in right]
        sets = {answer.name: list(answer.recommended) for answer in answers}
        if not sets:
            return
        asked, rows = Path(folder) / "sets.json", Path(folder) / "rows.json"
        asked.write_text(json.dumps(sets))
        subprocess.run(
            [sys.executable, oracle, "score", str(asked), "-j", str(jobs), "--json", str(rows)],
            stdout=subprocess.DEVNULL,
            check=True,
        )
        found = {row["name"]: row for row in json.loads(rows.read_text())["rows"]}
    for answer in answers:
        row = found[answer.name]
        if "broken" in row:
            print(f"{answer.name}: {row['broken']}", file=sys.stderr)
            continue
        missing, excess = (
            [cap.removeprefix("CAP_") for cap in row[key]] for key in ("missing", "excess")
        )
        yield judged(answer, missing, excess if row["sound"] else None)


def minimal(oracle: str, name: str) -> tuple[str, ...] | None:
    """The set that the oracle's trials have found before; None: it was never asked."""
    path = Path(oracle).resolve().parent / "truth" / f"{name}.json"
    if not path.exists():
        return None
    return tuple(cap.removeprefix("CAP_") for cap in json.loads(path.read_text())["minimal"])


def with_lots(oracle: str, folder: Path) -> str:
    """The same oracle, beside the blind lots and the sets that it has found for them."""
    workloads, truth = folder / "workloads", folder / "truth"
    for part in (workloads, truth):
        part.mkdir(parents=True)
    for path in (TESTS / "bench" / "workloads").glob("blind-*.yaml"):
        shutil.copy(path, workloads)
    for name, found in json.loads(KNOWN_LOTS.read_text()).items():
        (truth / f"{name}.json").write_text(json.dumps(found))
    return str(shutil.copy(oracle, folder))


def table(answers: list[Answer]) -> Iterator[str]:
    """Standing next to verdict."""
    counts = Counter((answer.said, answer.verdict) for answer in answers)
    yield f"{'':24}" + "".join(f"{verdict:>8}" for verdict in VERDICTS)
    for said in sorted({said for said, _ in counts}):
        yield f"{said:24}" + "".join(f"{counts[said, verdict]:8}" for verdict in VERDICTS)
    yield f"{'all':24}" + "".join(
        f"{sum(answer.verdict == verdict for answer in answers):8}" for verdict in VERDICTS
    )


def faults(answers: list[Answer], verdict: str) -> Iterator[str]:
    """What is the matter with each answer of that verdict; what misled comes first."""
    for answer in sorted(answers, key=lambda answer: (not answer.misled, answer.kind)):
        if answer.verdict == verdict:
            caps = " ".join(answer.recommended) or "none"
            text = f"{answer.name:24} {answer.said:22} {caps}: {answer.fault}"
            yield f"{text} ({answer.doubt})" if answer.doubt else text


def main() -> int:
    """Print the table, and fail where an answer misled."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-j", "--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME")
    parser.add_argument("--twice", action="store_true", help="settle doubts by a second run")
    parser.add_argument("--no-odd", action="store_true", help="leave out the odd programs")
    parser.add_argument("--lots", action="store_true", help="judge the blind lots, too")
    parser.add_argument("--json", type=Path, help="write the answers into this file, too")
    parser.add_argument("oracles", nargs="*", metavar="ORACLE")
    args = parser.parse_args()
    options = ["--twice"] * args.twice
    answers = [] if args.no_odd else list(odd_answers(args.only, args.jobs, options))
    for oracle in args.oracles:
        answers += workload_answers(oracle, args.only, args.jobs, options)
        if args.lots:
            with tempfile.TemporaryDirectory() as parent:
                lots = with_lots(oracle, Path(parent, "blind-lots"))
                answers += workload_answers(lots, args.only, args.jobs, options)
    if args.json:
        args.json.write_text(json.dumps([asdict(answer) for answer in answers], indent=1))
    for kind in sorted({answer.kind for answer in answers}):
        print(f"\n{kind}")
        print(*table([answer for answer in answers if answer.kind == kind]), sep="\n")
    print("\nall together")
    print(*table(answers), sep="\n")
    for verdict in ("wrong", "excess"):
        print(f"\n{verdict}:")
        print(*faults(answers, verdict), sep="\n")
    return int(any(answer.misled for answer in answers))


if __name__ == "__main__":
    sys.exit(main())
