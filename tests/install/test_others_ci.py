"""What other people's CI runs: the hook by pre-commit, the Action by act, jobs by their schemas."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from capadvise import __version__

TOP = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SCHEMAS = {
    ".github/workflows/release.yml": "vendor.github-workflows",
    ".github/actions/check/action.yml": "vendor.github-actions",
    "demos/release/action.yml": "vendor.github-actions",
    "demos/ci/gitlab-ci.yml": "vendor.gitlab-ci",
}
WORKFLOW = """\
on: push
jobs:
  check:
    runs-on: here
    steps:
      - uses: actions/checkout@v4
      - uses: ./action
        with: {files: compose.yaml}
"""
HOOKS = f"""\
repos:
  - repo: {TOP}
    rev: HEAD
    hooks: [{{id: capadvise-check}}]
"""


def call(*words: str | Path, cwd: Path, **more: str) -> tuple[int, str]:
    env = {**os.environ, "GIT_CONFIG_COUNT": "0", **more}
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def repository(folder: Path, privileged: bool) -> None:
    (folder / "compose.yaml").write_text(
        f"services: {{web: {{image: x, cap_drop: [ALL], privileged: {str(privileged).lower()}}}}}\n"
    )
    call("git", "add", "-A", cwd=folder)
    call("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x", cwd=folder)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    call("git", "init", "-q", cwd=work)
    return work


@pytest.mark.parametrize("path", SCHEMAS)
def test_a_job_keeps_to_the_schema_of_its_runner(path: str) -> None:
    said = call(BIN / "check-jsonschema", "--builtin-schema", SCHEMAS[path], TOP / path, cwd=TOP)
    assert said[0] == 0, said


def test_a_release_prints_what_has_changed_and_refuses_another_version() -> None:
    assert call("demos/release/notes", __version__, cwd=TOP)[0] == 0
    status, said = call("demos/release/notes", "9.9", cwd=TOP)
    assert (status, f"has {__version__}" in said) == (1, True)


def test_the_hook_stops_a_commit_that_grants_everything(work: Path, tmp_path: Path) -> None:
    """pre-commit clones this repository at its last commit and installs it as its users do."""
    (work / ".pre-commit-config.yaml").write_text(HOOKS)
    home = {"PRE_COMMIT_HOME": str(tmp_path / "home"), "GIT_CONFIG_COUNT": "1"}
    home |= {"GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    hook = (BIN / "pre-commit", "run", "--all-files")
    repository(work, privileged=True)
    status, said = call(*hook, cwd=work, **home)
    assert (status, "privileged" in said) == (1, True), said
    repository(work, privileged=False)
    status, said = call(*hook, cwd=work, **home)
    assert (status, "Passed" in said) == (0, True), said


def test_the_action_fails_the_job_that_grants_everything(
    dist: Path, work: Path, tmp_path: Path
) -> None:
    """act runs its steps on this machine, and copies the repository where it would be cloned."""
    action = work / "action"
    action.mkdir()
    call("tar", "-xf", dist / "action.tar", cwd=action)
    (work / ".github/workflows").mkdir(parents=True)
    (work / ".github/workflows/check.yml").write_text(WORKFLOW)
    act = (BIN / "act", "push", "-P", "here=-self-hosted")
    home = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "SHIV_ROOT"), str(tmp_path))
    repository(work, privileged=True)
    status, said = call(*act, cwd=work, **home)
    assert (status, "privileged" in said) == (1, True), said
    repository(work, privileged=False)
    status, said = call(*act, cwd=work, **home)
    assert (status, "Job succeeded" in said) == (0, True), said
