"""The demos, run as a user runs them: what comes out is what their folder expects, and what their
page and the README show. About 80 s in all, and 2 s for each pair of ``demos/sys-admin``."""

from __future__ import annotations

import difflib
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engines.transcript import STEPS, assert_shows, of_a_day, steps, words
from tests.support.containers import call
from tests.support.required import missing, tool

DEMOS = Path(__file__).parents[2] / "demos"
PAIRS = sorted(path.parent.name for path in DEMOS.glob("sys-admin/*/compose.yaml"))
FOLDERS = sorted(
    path.parent.name for path in DEMOS.glob("*/run") if path.parent.name != "sys-admin"
)


@pytest.fixture(scope="module", autouse=True)
def _can_run() -> None:
    if os.geteuid() != 0:
        missing("only root runs the demos here")
    for name in ("docker", "bwrap", "fuse-overlayfs", "perf", "losetup"):
        tool(name)
    if call("docker", "info").returncode:
        missing("no docker daemon answers")


@pytest.fixture
def work() -> Iterator[Path]:
    """A folder that every user may look into, as those of pytest are not."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.mark.kernel
@pytest.mark.parametrize("name", FOLDERS)
def test_a_demo_comes_out_as_its_folder_says(name: str, work: Path) -> None:
    demo = DEMOS / name
    ran = subprocess.run([demo / "run", work], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert outcome(demo, work) == yaml.safe_load((demo / "expected.yaml").read_text()), ran.stdout
    printed = steady(ran.stdout)
    answer = printed  # of the command that was shown last; the order of its lines is its own
    for shown in excerpts(demo / "README.md"):
        at = (printed if "$ " in shown else answer).find(shown)
        assert at >= 0, f"its page shows, but it did not print:\n{shown}\n----\n{printed}"
        if "$ " in shown:
            printed = printed[at:]
            answer = printed[: len(shown)] + printed[len(shown) :].partition(" $ ")[0]
    for step in steps(ran.stdout):
        for told in STEPS:
            if told.command == step.command:
                assert_shows(told.output, step.output)


def outcome(demo: Path, work: Path) -> dict[str, Any]:
    """The facts of each report, and what was changed in each file of the demo."""
    found: dict[str, Any] = {}
    for path in sorted(work.rglob("*.json")):
        found[path.name] = facts(json.loads(path.read_text()))
    for path in sorted(demo.glob("*.*")):
        if (work / path.name).exists():
            old, new = (file.read_text().splitlines() for file in (path, work / path.name))
            diff = list(difflib.unified_diff(old, new, n=0, lineterm=""))[2:]
            if diff:
                found[path.name] = [of_a_day(line) for line in diff if not line.startswith("@@")]
    return found


def facts(report: dict[str, Any]) -> dict[str, Any]:
    """What a report says: its sets, the capabilities of each verdict, who refused."""
    found: dict[str, Any] = {}
    for name in ("recommended", "minimal"):
        if (caps := report["proposal"][name]) is not None:
            found[name] = " ".join(cap.removeprefix("CAP_") for cap in caps)
    for need in report["needs"]:
        found.setdefault(need["verdict"], []).append(need["cap"].removeprefix("CAP_"))
    for refusal in report["recordings"][0]["refusals"]:
        found.setdefault("refused", {}).setdefault(refusal["by"], []).append(refusal["syscall"])
    return {name: " ".join(v) if isinstance(v, list) else v for name, v in found.items()}


def excerpts(page: Path) -> list[str]:
    """What the console blocks of a page show, in pieces: each is printed as it stands, but for
    where its lines end."""
    blocks = re.findall(r"^```console\n(.*?)^```", page.read_text(), re.M | re.S)
    pieces = [piece for block in blocks for piece in re.split(r"^…\n", block, flags=re.M)]
    assert pieces, page
    return [steady(piece) for piece in pieces if piece.strip()]


def steady(text: str) -> str:
    """A text without what changes from run to run, how often something happened included."""
    return re.sub(r"\d+(?=×)", "N", words(text))


def test_the_index_has_every_demo() -> None:
    index = (DEMOS / "README.md").read_text()
    assert set(re.findall(r"^\| \[[\w-]+\]\(([\w-]+)/\)", index, re.M)) == {*FOLDERS, "sys-admin"}


@pytest.mark.parametrize("name", PAIRS)
def test_it_needs_sys_admin_before_and_not_after(name: str) -> None:
    script = DEMOS / "sys-admin" / "run"
    ran = subprocess.run([script, name], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    before, without, after = ran.stdout.splitlines()[1:]
    said = before.removeprefix("before: ")
    assert after == f"after: {said}"
    assert without != f"without: {said}"


@pytest.mark.parametrize("name", PAIRS)
def test_its_page_shows_what_it_prints(name: str) -> None:
    folder = DEMOS / "sys-admin" / name
    assert (folder / "expected.txt").read_text() in (folder / "README.md").read_text()
