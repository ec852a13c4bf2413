"""A target that cannot be started: which step failed is said, and nothing is left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from capadvise.linux.ftrace import tracefs
from capadvise.linux.kernel import procfs
from tests.support.runs import CAPADVISE
from tests.support.wait import until

UNDER_FILTER = str(Path(__file__).parents[1] / "programs" / "under_filter.py")
SECUREBITS = """
import ctypes, os, sys
assert ctypes.CDLL(None).prctl(28, 1 << 6, 0, 0, 0) == 0  # PR_SET_SECUREBITS, NO_CAP_AMBIENT_RAISE
os.execvp(sys.argv[1], sys.argv[1:])
"""
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
READING = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


def refused(*words: str, before: tuple[str, ...] = ()) -> tuple[int, str]:
    """How a run ends, and its last words."""
    argv = [*before, CAPADVISE, "run", "--no-tui", "-o", "/dev/null", *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    until(lambda: not leftovers())
    return done.returncode, done.stderr


def leftovers() -> list[Path]:
    instances = tracefs.find() / "instances"
    return procfs.abandoned(instances, tracefs.PREFIX)


@pytest.mark.parametrize("options", [(), ("--retry",)])
def test_a_program_of_another_machine(tmp_path: Path, options: tuple[str, ...]) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF of another machine")
    program.chmod(0o755)
    code, said = refused(*options, "--", str(program))
    assert code == 126
    assert f"cannot execute {program}: Exec format error" in said


def test_a_user_whom_it_may_not_become() -> None:
    without = ("setpriv", "--bounding-set=-setuid", "--inh-caps=-setuid")
    code, said = refused("--user", "65534", "--", "true", before=without)
    assert code == 126
    assert "cannot become uid 65534: Operation not permitted" in said


def test_a_user_who_may_not_keep_the_capabilities() -> None:
    before = (sys.executable, "-c", SECUREBITS)
    code, said = refused("--user", "65534", "--", "true", before=before)
    assert code == 126
    assert "in the ambient set: Operation not permitted" in said


def test_a_namespace_that_a_filter_refuses() -> None:
    """An ordinary user's retries run as root of a user namespace."""
    before = (sys.executable, UNDER_FILTER, "unshare", "EPERM", *NOBODY, *READING)
    code, said = refused("--", "true", before=before)
    assert code == 126
    assert "cannot make a user namespace: Operation not permitted" in said


def test_a_guardian_that_ends_at_once() -> None:
    program = (
        "import sys; sys.executable = '/bin/false'; from capadvise.cli import main; "
        "sys.exit(main(['run', '--no-tui', '-o', '/dev/null', '--', 'true']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 126
    assert done.stderr == "capadvise: error: the guardian ended before the target started\n"
