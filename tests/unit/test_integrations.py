"""The action, the GitLab job and the pre-commit hook run `capadvise check` as it is today."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from capadvise.cli.parser import build_parser
from capadvise.config import LANGUAGES

TOP = Path(__file__).parents[2]
ACTION = yaml.safe_load((TOP / ".github/actions/check/action.yml").read_text())
JOB = yaml.safe_load((TOP / "demos/ci/gitlab-ci.yml").read_text())["capabilities"]
(HOOK,) = yaml.safe_load((TOP / ".pre-commit-hooks.yaml").read_text())
GOOD = "services: {web: {image: x, cap_drop: [ALL], security_opt: [no-new-privileges]}}\n"
BAD = "services: {web: {image: x, privileged: true}}\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "bad.yaml").write_text(BAD)
    return tmp_path


def shell(lines: str, place: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, **variables}
    return subprocess.run(
        ["bash", "-e", "-c", lines], cwd=place, env=env, capture_output=True, text=True
    )


def action(place: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """Run the action's steps as GitHub does: inputs by the environment, bash -e."""
    values = {name: str(each.get("default", "")) for name, each in ACTION["inputs"].items()}
    values |= inputs
    for step in ACTION["runs"]["steps"]:
        variables: dict[str, Any] = {
            name: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda m: values[m[1]], value)
            for name, value in step["env"].items()
        }
        assert "${{" not in step["run"], "what is pasted into a script can be a script"
        done = shell(step["run"], place, **variables)
        if done.returncode:
            break
    return done


@pytest.mark.parametrize(("files", "code"), [("good.yaml", 0), ("good.yaml bad.yaml", 1)])
def test_the_action_gives_the_answer_of_the_gate(place: Path, files: str, code: int) -> None:
    done = action(place, files=files)
    assert done.returncode == code, done.stderr
    assert ("::error" in done.stdout) == bool(code)


def test_the_action_passes_its_options_on(place: Path) -> None:
    (place / "reports").mkdir()
    assert action(place, files="good.yaml", against="reports").returncode == 2
    assert "expected one argument" not in action(place, files="good.yaml", against="a b").stderr
    assert action(place, files="good.yaml", arguments="--strict").returncode in (0, 1)


@pytest.mark.parametrize("files", ["$(touch gone)", "; touch gone", "--output=json", "*"])
def test_what_an_input_holds_is_a_name(place: Path, files: str) -> None:
    done = action(place, files=files)
    assert not (place / "gone").exists()
    assert done.returncode == 2


@pytest.mark.parametrize(("files", "code"), [("good.yaml", 2), ("missing.yaml", 2)])
def test_the_job_of_gitlab_runs_the_gate(place: Path, files: str, code: int) -> None:
    """Without a report there is nothing to be held against: that is no pass."""
    script = "\n".join([*JOB["before_script"], *JOB["script"]])
    done = shell(script, place, **{**JOB["variables"], "FILES": files})
    assert done.returncode == code, done.stderr


def test_the_hook_is_a_command_and_finds_the_files() -> None:
    """The folder is named: files that are none of ours are passed over in it."""
    assert not HOOK["pass_filenames"]
    build_parser().parse_args([*shlex.split(HOOK["entry"])[1:], *HOOK["args"]])
    chosen = re.compile(HOOK["files"])
    endings = {ending for language in LANGUAGES.values() for ending in language.endings}
    assert set(re.findall(r"\w+", HOOK["files"])) == {ending.strip(".") for ending in endings}
    for name in ("compose.yaml", "deploy/web.container", "a/b.service.d/x.conf", *endings):
        assert chosen.search(name), name
    for name in ("README.md", "decompose.yaml.txt", "service.py"):
        assert not chosen.search(name), name
