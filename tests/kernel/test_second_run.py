"""``run --twice``: a second run, isolated, settles what one run leaves in doubt."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs import Run

ADDRESSES = "head -n 1 /proc/kallsyms"
# The program, the capability in doubt, and whether it is needed.
CASES: dict[str, tuple[str, str, bool]] = {
    "kill -0": ("kill -0 $FOREIGN", "KILL", True),
    "kill -0 in vain": ("kill -0 $FOREIGN; true", "KILL", True),
    "kill -0 in silence": ("kill -0 $FOREIGN 2>/dev/null; true", "KILL", False),
    "test -w": ("[ -w closed ] && echo yes > out", "DAC_OVERRIDE", True),
    "test -w, a file": ("if [ -w closed ]; then echo yes; fi > out", "DAC_OVERRIDE", True),
    "test -w, nothing": ("[ -w closed ]; true", "DAC_OVERRIDE", False),
    "kallsyms": (ADDRESSES, "SYSLOG", True),
    "kallsyms, nothing": (f"{ADDRESSES} > /dev/null", "SYSLOG", False),
}


@pytest.fixture(scope="module")
def foreign() -> Iterator[int]:
    """Another user's process."""
    words = ["setpriv", "--reuid=65534", "--clear-groups", "sleep", "98765"]
    with subprocess.Popen(words) as started:
        yield started.pid
        started.kill()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "w"
    folder.mkdir()
    (folder / "closed").mkdir(mode=0o755)
    os.chown(folder / "closed", 65534, 65534)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_a_second_run_settles_the_doubt(
    name: str, run: Run, work: Path, foreign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREIGN", str(foreign))
    script, cap, needed = CASES[name]
    result = run("sh", "-c", script, options=["--twice"], cwd=work)
    assert result.code == 0, result.stderr
    assert (cap in result.recommended) == needed, result.stderr
    again = result.report["recordings"][0]["second_run"]
    assert again["settled"], result.stderr
    assert again["refused"] == [f"CAP_{cap}"]
    assert again["needed"] == ([f"CAP_{cap}"] if needed else [])
    assert result.report["conclusion"]["standing"] == "recorded"
    assert "run again" in " ".join(result.stderr.split())


def test_it_writes_only_once(run: Run, work: Path) -> None:
    """The second run begins with the data of the first, and writes to a copy."""
    script = "[ -w closed ]; [ ! -e out ] && echo once >> out"
    result = run("sh", "-c", script, options=["--twice"], cwd=work)
    assert result.code == 0, result.stderr
    assert result.report["recordings"][0]["second_run"]["settled"], result.stderr
    assert (work / "out").read_text() == "once\n"


START_ADDRESSES = """import os, sys
foreign = sys.argv[1]
states = {pid: open(f"/proc/{pid}/stat").read() for pid in os.listdir("/proc") if pid == foreign}
raise SystemExit(states[foreign].rpartition(")")[2].split()[23] == "1")
"""


def test_what_seemed_incidental_is_found_by_its_difference(run: Run, foreign: int) -> None:
    """Like ps, it reads the state of all processes; unlike ps, it cannot do without an address."""
    argv = [sys.executable, "-c", START_ADDRESSES, str(foreign)]
    once = run(*argv)
    assert once.report["conclusion"]["standing"] == "recorded"
    assert once.recommended == set()
    result = run(*argv, options=["--twice"])
    assert result.recommended == {"SYS_PTRACE"}, result.stderr


def test_without_a_doubt_the_set_is_tried(run: Run) -> None:
    result = run("true", options=["--twice"])
    again = result.report["recordings"][0]["second_run"]
    assert (again["settled"], again["refused"], again["differed"]) == (True, [], [])
    assert "nothing differed with this set" in " ".join(result.stderr.split())


def test_what_does_not_work_in_isolation_stays_in_doubt(run: Run, work: Path) -> None:
    """It sees that it has another network."""
    own = os.readlink("/proc/self/ns/net")
    script = f"[ -w closed ]; [ $(readlink /proc/self/ns/net) = '{own}' ]"
    result = run("sh", "-c", script, options=["--twice"], cwd=work)
    assert result.code == 0, result.stderr
    assert "not settled" in result.stderr
    assert result.report["conclusion"]["standing"] == "likely"


def test_it_is_for_commands(run: Run) -> None:
    done = run("docker", "run", "--rm", "none", options=["--twice"])
    assert done.code == 2
    assert "--twice is for commands" in done.stderr
