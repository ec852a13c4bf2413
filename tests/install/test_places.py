"""The commands of the README work in any folder: here, in one below /tmp whose name has spaces,
which other users cannot enter, and which is reached through a symbolic link."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.guest import SYSTEMD
from tests.support.required import missing
from tests.support.shown import TOP

LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__", ".hypothesis", "dist")
FILES = (
    *("tests/unit/test_tests.py", "tests/units/test_recording.py"),
    *("tests/kernel/test_table.py", "tests/kernel/test_doctor.py"),
)
CHOSEN = "coverage_measures_us or with_ambient or ulimit or retries_can_do"
"""Of these: a shell is given the interpreter's path, a guest covers /tmp, another user enters."""

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def call() -> Iterator[Call]:
    """Runs a command in a copy of this tree with an environment of its own."""
    if os.geteuid() != 0 or not SYSTEMD.exists():
        missing("only root traces, and starts a systemd, where it is installed")
    with tempfile.TemporaryDirectory(prefix="capadvise's two folders ", dir="/tmp") as name:
        (Path(name) / "the other").mkdir()
        (Path(name) / "the link").symlink_to("the other")
        tree = Path(name) / "the link" / "capadvise"
        shutil.copytree(TOP, tree, ignore=LEFT_OUT, symlinks=True)
        environment(tree)
        others = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
        path = {"PATH": f"{tree}/.venv/bin:{os.environ['PATH']}", "PWD": str(tree)}

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                words, cwd=tree, env={**others, **path}, capture_output=True, text=True, timeout=300
            )

        yield run


def environment(tree: Path) -> None:
    """As ``.ci/setup dev`` makes it, but with the packages that are installed here."""
    base = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    subprocess.run([base, "-m", "venv", "--without-pip", tree / ".venv"], check=True)
    (packages,) = (tree / ".venv/lib").glob("python3.*/site-packages")
    paths = [*map(str, (tree, sysconfig.get_path("purelib"))), *sys.path]
    (packages / "here.pth").write_text("\n".join(path for path in paths if path) + "\n")
    for name, module in (("capadvise", "capadvise.cli"), ("pytest", "pytest")):
        script = tree / ".venv/bin" / name
        python = shlex.quote(str(script.with_name("python")))
        code = f"import sys; sys.argv[0] = {name!r}; from {module} import main; sys.exit(main())"
        script.write_text(f'#!/bin/sh\nexec {python} -c {shlex.quote(code)} "$@"\n')
        script.chmod(0o755)
    asked = 'echo "$PWD $(cksum <pyproject.toml)" >".venv/made[dev]"'
    subprocess.run(["sh", "-c", asked], cwd=tree.resolve(), check=True)


@pytest.mark.kernel
def test_the_tests_pass(call: Call) -> None:
    done = call("pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *FILES, "-k", CHOSEN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout


@pytest.mark.kernel
def test_the_first_demo_shows_what_the_readme_does(call: Call) -> None:
    done = call("demos/first")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        "server needs CHOWN, SETGID, SETUID, NET_BIND_SERVICE (4; root here holds " in done.stdout
    )
