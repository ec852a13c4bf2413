"""The gate beside compose-lint and checkov, on the hostile and honest files of the tests.

    python3 -m venv V && V/bin/pip install compose-lint checkov
    python -m tests.bench.rivals V/bin          (five minutes)
    python -m tests.bench.rivals --many 4000    (the gate alone: seconds of processor, peak memory)

A rival finds a hostile file if it names a rule that it does not name for a sound one. The command
prints the files that a rival finds and ``check --strict`` passes, with the reason where the tests
argue that such a file gives nothing, and the findings for each honest file.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import yaml

from tests.support.hostile import SOUND, pod, service

DATA = Path(__file__).parents[1] / "data"
CHECK = (str(Path(sys.executable).with_name("capadvise")), "check", "--strict")
Findings = Mapping[str, list[str]]
"""File → the rules that a tool names for it."""


def entries(name: str, file: str) -> dict[str, str]:
    said = yaml.safe_load((DATA / name).read_text()).get(file, {})
    return {key: each["text"] if isinstance(each, dict) else each for key, each in said.items()}


def hostile() -> dict[str, dict[str, str]]:
    """Kind → name → text; what the tests argue to give nothing is among them."""
    reach, plain, places, kinds = (
        importlib.import_module(f"tests.unit.gate.test_{name}")
        for name in ("host_reach", "hostile", "hostile_places", "other_kinds")
    )
    files = {
        kind: {
            n: t
            for name in ("consumers", "gives-nothing")
            for n, t in entries(f"hostile/{name}.yaml", f"{kind}.yaml").items()
        }
        for kind in ("compose", "pod")
    }
    for module in (plain, places):
        files["compose"] |= module.COMPOSE
        files["pod"] |= module.KUBERNETES
    files["compose"] |= reach.COMPOSE
    files["pod"] |= kinds.HOSTILE
    return files


def honest() -> dict[str, dict[str, str]]:
    compose = {str(p.relative_to(DATA)): p.read_text() for p in (DATA / "honest").rglob("*.y*ml")}
    kinds = ("compose", "pod")
    files = {kind: entries("honest-features.yaml", f"{kind}.yaml") for kind in kinds}
    files["compose"] |= compose
    return files


def written(texts: Mapping[str, str], kind: str, folder: Path) -> dict[str, str]:
    """Path → name; each file in a folder of its own, since neighbours make one project."""
    paths = {}
    for number, (name, text) in enumerate(texts.items()):
        path = folder / kind / str(number) / f"{kind}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        paths[str(path)] = name
    return paths


def run(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True).stdout


def of_compose_lint(tool: str, folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.yaml")):
        try:
            findings = json.loads(run(tool, "--format", "json", str(path)))["findings"]
        except ValueError:  # it refuses the file
            findings = [{"rule_id": "refused"}]
        found[str(path)] = [each["rule_id"] for each in findings]
    return found


def of_checkov(tool: str, folder: Path) -> dict[str, list[str]]:
    argv = ("-d", str(folder), "-o", "json", "--compact", "--framework", "kubernetes")
    said = json.loads(run(tool, *argv))
    found: dict[str, list[str]] = {}
    for report in said if isinstance(said, list) else [said]:
        for each in report.get("results", {}).get("failed_checks", ()):
            found.setdefault(each["file_abs_path"], []).append(each["check_id"])
    return found


def of_ours(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.yaml")):
        code = subprocess.run([*CHECK, str(path)], capture_output=True, text=True)
        lines = [
            line
            for line in code.stdout.splitlines()
            if line.startswith("  error") or line.startswith("  warning")
        ]
        found[str(path)] = lines if code.returncode == 1 else ["refused"] * (code.returncode > 1)
    return found


def beyond(found: Findings, path: str, usual: set[str]) -> set[str]:
    return set(found.get(path, ())) - usual


def compared(
    kind: str, rival: Callable[[Path], dict[str, list[str]]], title: str, folder: Path
) -> Iterator[str]:
    """Yield the lines for one rival."""
    arguments = entries_with_reasons(f"{kind}.yaml")
    sound = {"compose": service("init: true"), "pod": pod(SOUND)}[kind]
    paths = written({"": sound, **hostile()[kind]}, kind, folder / "hostile")
    theirs, ours = rival(folder / "hostile" / kind), of_ours(folder / "hostile" / kind)
    base = next(iter(paths))
    usual = set(theirs.get(base, ()))
    found = [path for path in paths if beyond(theirs, path, usual)]
    missed = [path for path in found if not ours[path]]
    we = sum(map(bool, ours.values()))
    yield f"{kind}, {len(paths) - 1} hostile files: {title} finds {len(found)}, capadvise {we}"
    for path in missed:
        name = paths[path]
        why = arguments.get(name, "")
        rules = ", ".join(sorted(beyond(theirs, path, usual)))
        yield f"  only {title} ({rules}): {name}{f': argued, {why}' if why else ''}"
    yield f"  not argued: {sum(paths[path] not in arguments for path in missed)}"
    good = written(honest()[kind], kind, folder / "honest")
    theirs, ours = rival(folder / "honest" / kind), of_ours(folder / "honest" / kind)
    for whose, found_by in ((title, theirs), ("capadvise --strict", ours)):
        every = sum(len(found_by.get(path, ())) for path in good)
        yield f"  {len(good)} honest files: {whose} prints {every / len(good):.1f} for each"


def entries_with_reasons(file: str) -> dict[str, str]:
    said = yaml.safe_load((DATA / "hostile" / "gives-nothing.yaml").read_text()).get(file, {})
    return {name: each["why"] for name, each in said.items()}


def many(count: int) -> str:
    """What a folder of so many files costs."""
    texts = [
        text for files in (hostile(), honest()) for each in files.values() for text in each.values()
    ]
    names = [kind for files in (hostile(), honest()) for kind, each in files.items() for _ in each]
    with tempfile.TemporaryDirectory() as name:
        for number in range(count):
            place = Path(name) / str(number // 100) / str(number)
            place.mkdir(parents=True)
            at = number % len(texts)
            (place / f"{names[at]}.yaml").write_text(texts[at])
        with subprocess.Popen([*CHECK, name], stdout=subprocess.DEVNULL, stderr=-3) as process:
            _, _, usage = os.wait4(process.pid, 0)
            process.returncode = 0
    return (
        f"{count} files: {usage.ru_utime:.1f} s of processor for the user, "
        f"{usage.ru_stime:.1f} s for the system, {usage.ru_maxrss / 1024:.0f} MB at most"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("tools", nargs="?", help="folder with compose-lint and checkov")
    parser.add_argument("--many", type=int)
    args = parser.parse_args()
    if args.many:
        print(many(args.many))
        return
    with tempfile.TemporaryDirectory() as name:
        for kind, title, ask in (
            ("compose", "compose-lint", of_compose_lint),
            ("pod", "checkov", of_checkov),
        ):
            tool = str(Path(args.tools) / title)
            for line in compared(kind, lambda at, a=ask, t=tool: a(t, at), title, Path(name)):
                print(line, flush=True)


if __name__ == "__main__":
    main()
