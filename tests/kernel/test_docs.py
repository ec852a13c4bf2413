"""The documentation is true: its commands are run, and give what it says."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from capadvise.catalog import Meaning
from capadvise.cli.manual import page
from capadvise.judgement.decide import Proof, Verdict
from tests.support.runs import CAPADVISE, Run

from .rows import FOREIGN, OVERLAY

SETUP = f"touch mine; {FOREIGN}; mv f theirs;"
LAYERS = OVERLAY.replace("mount -t overlay", "chown nobody l/f; mount -t overlay")


def rows(*topics: str) -> list[list[str]]:
    """The rows of the tables on these pages."""
    text = "\n".join(map(page, topics))
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [re.split(r" (?<!\\)\| ", line[2:].removesuffix(" |")) for line in lines]


def examples() -> dict[str, list[str]]:
    """``[options] -- command`` → what is said of its capabilities."""
    found: dict[str, list[str]] = {}
    for row in rows("judgement", "traps"):
        if len(row) == 4 and "-- " in row[2]:
            found.setdefault(row[2].strip("`"), []).extend(row[3].split("; "))
    return found


def test_every_word_is_explained() -> None:
    first = [row[0] for row in rows("judgement")]
    for words in (Verdict, Proof, Meaning):
        assert set(words) <= set(first)


@pytest.mark.parametrize("command", examples())
def test_an_example_is_true(run: Run, tmp_path: Path, command: str) -> None:
    work = tmp_path / "w"
    work.mkdir()
    layers = "m/f" in command
    subprocess.run(["bash", "-ec", f"{SETUP}{LAYERS if layers else ''}"], cwd=work, check=True)
    options, _, argv = f" {command}".partition(" -- ")
    try:
        result = run(*shlex.split(argv), options=tuple(options.split()))
    finally:
        if layers:
            subprocess.run(["umount", "m", "base"], cwd=work, check=True)
    for sentence in examples()[command]:
        cap, verdict = sentence.replace(",", "").split()[:2]
        need = result.need(cap) or {"verdict": "not-checked", "proof": "none", "uncertain": None}
        found = [need["verdict"], need["proof"], "uncertain" if need["uncertain"] else ""]
        assert found[0] == verdict, result.stderr
        assert set(sentence.split(", ")[1:]) <= set(found), result.stderr


WORKLOADS = re.findall(r"(?s)```yaml\n(.*?)```\n\nMinimal set: ([A-Z_, ]+)\.", page("workloads"))


@pytest.mark.parametrize("number", [0, 1])
def test_a_workload_has_the_minimal_set_that_the_page_says(tmp_path: Path, number: int) -> None:
    text, minimal = WORKLOADS[number]
    path, report = tmp_path / "w.yaml", tmp_path / "r.json"
    path.write_text(text)
    subprocess.run([CAPADVISE, "prove", str(path), "-o", str(report)], check=True)
    found = json.loads(report.read_text())["proposal"]["minimal"]
    assert found == [f"CAP_{name}" for name in minimal.split(", ")]
