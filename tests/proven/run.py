"""``python -m tests.proven.run [--jobs N] [--compare] [NAME…]``: prove well-known programs again.

Makes ``catalog/proven/NAME.yaml`` from ``programs.yaml`` and the workloads that it names, and the
index of all names. With ``--compare`` nothing is written: what has changed is said, and then the
exit code is 1. With ``--names`` nothing is proven: rows get what ``programs.yaml`` says besides, as
after a change of names. As root, on Debian: installs the packages that are missing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import yaml

import capadvise
from capadvise.catalog import default
from capadvise.catalog.known_index import FOLDER, INDEX
from capadvise.judgement.decide import Need
from capadvise.judgement.flags import gains_nothing
from capadvise.judgement.report import Report
from capadvise.model.caps import CapSet, parse_set
from capadvise.model.errors import BadInput
from capadvise.report.fit import fit_of_report
from capadvise.report.load import load
from capadvise.report.text import in_short
from tests.generate.facts.known import parse_program
from tests.proven.index import index

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).with_name("programs.yaml")
PLACES = (ROOT / "tests/proven/workloads", ROOT / "tests/bench/workloads")
MADE = ROOT / "catalog" / FOLDER
HEAD = "# Made by: python -m tests.proven.run {name}. Not for editing.\n"
SAME = ("name", "recommended", "minimal", "no_new_privileges", "user_namespace")
"""What of a variant is the same whenever it is proven; reasons can name what was seen first."""


@dataclass(frozen=True)
class Way:
    """One variant of a program: what is special about it, and its workload."""

    name: str
    file: Path
    raw: dict[str, Any]

    @property
    def workload(self) -> str:
        return f"{self.file.relative_to(ROOT)} {self.raw['name']}"

    @property
    def key(self) -> str:
        """A name for its report."""
        return f"{self.file.stem}.{self.raw['name']}"


def programs(names: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """The chosen ones; all without a name."""
    every: dict[str, dict[str, Any]] = yaml.safe_load(PROGRAMS.read_text())
    if unknown := [name for name in names if name not in every]:
        sys.exit(f"{PROGRAMS} has no program {unknown[0]!r}")
    return {name: every[name] for name in names or every}


def ways(program: dict[str, Any]) -> list[Way]:
    """The variants of a program, each with its workload."""
    return [Way(name, *_workload(place)) for name, place in program["variants"].items()]


def _workload(place: str) -> tuple[Path, dict[str, Any]]:
    """``others/slapd-user``: file and name."""
    stem, _, name = place.partition("/")
    for folder in PLACES:
        path = folder / f"{stem}.yaml"
        if path.exists():
            for raw in _workloads(path):
                if raw["name"] == name:
                    return path, raw
    sys.exit(f"there is no workload {place}")


@cache
def _workloads(path: Path) -> list[dict[str, Any]]:
    """Of a file, which many rows name."""
    text = path.read_text()
    return [raw for raw in yaml.load_all(text, yaml.CSafeLoader) if raw]


def packages(chosen: dict[str, dict[str, Any]]) -> list[str]:
    """All that the workloads need."""
    needs = (way.raw.get("needs", []) for program in chosen.values() for way in ways(program))
    return sorted({package for several in needs for package in several})


def prove(every: Sequence[Way], jobs: int, folder: Path) -> None:
    """A report of each in the folder, by its key."""
    chosen = folder / "workloads.yaml"
    chosen.write_text(yaml.safe_dump_all([{**way.raw, "name": way.key} for way in every]))
    output = folder / (f"{every[0].key}.json" if len(every) == 1 else "")
    program = str(Path(sys.executable).with_name("capadvise"))
    bench = {**os.environ, "BENCH": str(ROOT / "tests" / "bench")}
    words = [program, "prove", "-j", str(jobs), "-o", str(output), str(chosen)]
    subprocess.run(words, stdout=subprocess.DEVNULL, env=bench, check=False)


def document(name: str, program: dict[str, Any], variants: list[dict[str, Any]]) -> dict[str, Any]:
    """What stands in the catalog."""
    package = program.get("package", name)
    system = _value("/etc/os-release", "PRETTY_NAME").strip('"')
    return {
        "name": name,
        "what": program["what"],
        "package": package,
        "version": _version(package),
        **names(name, program),
        "made": {
            "capadvise": capadvise.__version__,
            "kernel": os.uname().release,
            "system": system,
            "date": date.today().isoformat(),
        },
        "variants": variants,
    }


def names(name: str, program: dict[str, Any]) -> dict[str, Any]:
    """What it is found by besides its own name, and what others publish for it."""
    published = program.get("published", ())
    return {
        **{key: program.get(key, []) for key in ("images", "images_of_users", "units")},
        "commands": program.get("commands", [name]),
        **({"published": [_published(one) for one in published]} if published else {}),
    }


def _published(one: dict[str, Any]) -> dict[str, Any]:
    """What others publish, with the names of capabilities as the kernel has them."""
    return {**one, "caps": _names(parse_set(one["caps"]))}


def variant(way: Way, report: Report) -> dict[str, Any]:
    """What a proof has shown. Raises ValueError where it has shown nothing."""
    proven, proposal = report.proven, report.proposal
    if proven is None or proposal.minimal is None or not proven.complete or proven.flaky:
        raise ValueError("not proven")
    if not proven.recommended_sound:
        raise ValueError("the recommended set did not pass")
    return {
        "name": way.name,
        "workload": way.workload,
        "command": _command(way.raw["command"]),
        **({"user": way.raw["user"]} if "user" in way.raw else {}),
        "check": (way.raw.get("check") or "its exit status").strip(),
        "recommended": _names(proposal.recommended),
        "minimal": _names(proposal.minimal),
        "trials": len(proven.trials),
        "no_new_privileges": gains_nothing(report) is True,
        "user_namespace": in_short(fit_of_report(report, default())),
        "needs": [_need(proposal.need(cap)) for cap in sorted(proposal.recommended)],
    }


def _need(need: Need) -> dict[str, Any]:
    kept = "the program may keep rights that it gives up" if need.self_restricting else "unknown"
    told = {"cap": need.cap.name, "why": need.reason, "without": need.lost_without or kept}
    return {**told, "when": need.only} if need.only else told


def _names(caps: CapSet) -> list[str]:
    return [cap.name for cap in sorted(caps)]


def _command(command: str | list[str]) -> str:
    return command.strip() if isinstance(command, str) else " ".join(command)


def _version(package: str) -> str:
    words = ("dpkg-query", "-W", "-f", "${Version}", package)
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def _value(path: str, key: str) -> str:
    lines = Path(path).read_text().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith(f"{key}="))


class _Dumper(yaml.SafeDumper):
    """Scripts as they are written."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", value, style="|" if "\n" in value else None
    )


_Dumper.add_representer(str, _text)


def text(made: dict[str, Any]) -> str:
    """The file."""
    body = yaml.dump(made, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return HEAD.format(name=made["name"]) + body


def write_names() -> None:
    """What each row is found by, as ``programs.yaml`` says it now, and the index of all."""
    paths, wanted = sorted(MADE.glob("*.yaml"), key=lambda path: path.stem), programs()
    for path in paths:
        made = yaml.safe_load(path.read_text())
        head = {key: made[key] for key in ("name", "what", "package", "version")}
        proven = {key: made[key] for key in ("made", "variants")}
        row = head | names(path.stem, wanted[path.stem]) | proven
        if (now := text(row)) != path.read_text(encoding="utf-8"):
            path.write_text(now, encoding="utf-8")
    every = tuple(parse_program(path, path.read_text(encoding="utf-8")) for path in paths)
    lines = [
        f'"{kind}": {{\n'
        + ",\n".join(f"{json.dumps(word)}: {json.dumps(name)}" for word, name in words.items())
        + "\n}"
        for kind, words in index(every).items()
    ]
    (MADE / INDEX).write_text("{" + ",\n".join(lines) + "}\n")


def differences(made: dict[str, Any], keys: Sequence[str] = SAME) -> Iterator[str]:
    """Against what the catalog has."""
    path = MADE / f"{made['name']}.yaml"
    known = yaml.safe_load(path.read_text())["variants"] if path.exists() else []
    before = {each["name"]: each for each in known}
    for now in made["variants"]:
        then = before.get(now["name"])
        if then is None:
            yield f"{made['name']}, {now['name']}: not in the catalog"
            continue
        for key in keys:
            if now[key] != then[key]:
                yield f"{made['name']}, {now['name']}: {key}: {then[key]} before, {now[key]} now"


def made_again(chosen: dict[str, dict[str, Any]], jobs: int) -> Iterator[dict[str, Any] | str]:
    """What stands in the catalog now, of each program; or why nothing can."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prove([way for program in chosen.values() for way in ways(program)], jobs, folder)
        for name, program in chosen.items():
            try:
                found = [
                    variant(way, load(folder / f"{way.key}.json", default()))
                    for way in ways(program)
                ]
                yield document(name, program, found)
            except (ValueError, BadInput) as error:
                yield f"{name}: {error}"


def one_by_one(chosen: dict[str, dict[str, Any]], jobs: int) -> Iterator[dict[str, Any] | str]:
    """Each with its packages: no two mail servers of Debian can be installed at once."""
    for name, program in chosen.items():
        one = {name: program}
        setup = [ROOT / ".ci" / "setup", "dev", *packages(one)]
        if subprocess.run(setup, check=False).returncode:
            yield f"{name}: its packages could not be installed"
        else:
            yield from made_again(one, jobs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--names", action="store_true", dest="only_names")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    if args.only_names:
        write_names()
        return 0
    chosen = programs(args.names)
    begun, wrong = time.monotonic(), 0
    for made in one_by_one(chosen, args.jobs):
        if isinstance(made, str):
            wrong += 1
            print(made)
            continue
        if args.compare:
            changed = list(differences(made))
            wrong += bool(changed)
            print("\n".join(changed) or f"{made['name']}: the same", flush=True)
            continue
        (MADE / f"{made['name']}.yaml").write_text(text(made), encoding="utf-8")
        sets = "; ".join(
            f"{one['name']}: {' '.join(one['minimal']) or '-'}" for one in made["variants"]
        )
        print(f"{made['name']} {made['version']}: {sets}", flush=True)
    if not args.compare:
        write_names()
    print(
        f"{len(chosen)} programs in {time.monotonic() - begun:.0f} s, {wrong} not as they should be"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
