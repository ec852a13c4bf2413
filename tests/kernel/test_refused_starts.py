"""A target that cannot be started: which step failed is said, and nothing is left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from capadvise.kernel import procfs
from capadvise.observe.ftrace import tracefs
from tests.support.runs import CAPADVISE
from tests.support.wait import until

UNDER_FILTER = str(Path(__file__).parents[1] / "programs" / "under_filter.py")
SECUREBITS = """
import ctypes, os, sys
assert ctypes.CDLL(None).prctl(28, 1 << 6, 0, 0, 0) == 0  # PR_SET_SECUREBITS, NO_CAP_AMBIENT_RAISE
os.execvp(sys.argv[1], sys.argv[1:])
"""
SUBORDINATE = """
for file in subuid subgid; do
  echo nobody:200000:65536 >"$1/$file"
  mount --bind "$1/$file" /etc/$file
done
shift
exec setpriv --no-new-privs "$@"
"""
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
SLOW = """
import sys, time
from capadvise.cli import main
from capadvise.observe.ftrace import tracefs
write = tracefs.write
def slow(path, text):
    write(path, text)
    time.sleep(0.05)
tracefs.write = slow
sys.exit(main(sys.argv[1:]))
"""
READING = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


def refused(
    *words: str, before: tuple[str, ...] = (), program: tuple[str, ...] = (CAPADVISE,)
) -> tuple[int, str]:
    """How a run ends, and its last words."""
    argv = [*before, *program, "run", "--no-tui", "-o", "/dev/null", *words]
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
    assert code == 126, said
    assert f"cannot execute {program}: Exec format error" in said


@pytest.mark.parametrize("program", [(CAPADVISE,), (sys.executable, "-c", SLOW)], ids=["", "slow"])
def test_a_user_whom_it_may_not_become(program: tuple[str, ...]) -> None:
    """Also where that is known long before the trace buffers are there."""
    without = ("setpriv", "--bounding-set=-setuid", "--inh-caps=-setuid")
    code, said = refused("--user", "65534", "--", "true", before=without, program=program)
    assert code == 126, said
    assert "cannot become uid 65534: Operation not permitted" in said


def test_a_user_who_may_not_keep_the_capabilities() -> None:
    before = (sys.executable, "-c", SECUREBITS)
    code, said = refused("--user", "65534", "--", "true", before=before)
    assert code == 126, said
    assert "in the ambient set: Operation not permitted" in said


def test_a_namespace_that_a_filter_refuses() -> None:
    """An ordinary user's retries run as root of a user namespace."""
    before = (sys.executable, UNDER_FILTER, "unshare", "EPERM", *NOBODY, *READING)
    code, said = refused("--", "true", before=before)
    assert code == 126, said
    assert "cannot make a user namespace: Operation not permitted" in said


def test_ids_that_may_not_be_mapped(tmp_path: Path) -> None:
    """newgidmap is set-uid, which no_new_privs takes away."""
    before = ("unshare", "--mount", "sh", "-c", SUBORDINATE, "sh", str(tmp_path), *NOBODY[1:])
    code, said = refused("--", "true", before=(*before, *READING))
    assert code == 126, said
    assert "cannot map ids (newgidmap: " in said


def test_a_filter_that_allows_no_other_one() -> None:
    before = (sys.executable, UNDER_FILTER, "prctl=22", "EPERM")  # PR_SET_SECCOMP
    code, said = refused("--retry", "--", "true", before=before)
    assert code == 126, said
    assert "cannot install the filter that stops calls: Operation not permitted" in said


HELD = """
import sys
from capadvise.observe.supervise.command import Command
from capadvise.observe.supervise.session import Tracing, session
with session(Command(("touch", sys.argv[1])), tracing=Tracing()) as one:
    print(one.held)
"""


def test_what_is_held_and_never_let_go_does_not_run(tmp_path: Path) -> None:
    """As where the supervisor ends between the two."""
    words = [sys.executable, "-c", HELD, str(tmp_path / "touched")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not Path(f"/proc/{int(done.stdout)}").exists()
    assert not (tmp_path / "touched").exists()
    until(lambda: not leftovers())


def begun(change: str, *options: str) -> tuple[int, str]:
    """How a run ends in a process of ours that was changed first, and what it says."""
    words = ["run", "--no-tui", "-o", "/dev/null", *options, "--", "true"]
    program = f"import sys\n{change}\nfrom capadvise.cli import main\nsys.exit(main({words}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return done.returncode, done.stderr


def test_a_guardian_that_ends_at_once() -> None:
    change = "from capadvise.observe.supervise import guardian; guardian.main = sys.exit"
    code, said = begun(change)
    assert code == 126
    assert said.endswith("capadvise: error: the guardian ended before the target started\n")


def test_a_launcher_that_cannot_be_executed() -> None:
    code, said = begun("sys.executable = '/dev/null'", "--user", "65534")
    assert code == 126
    assert said.startswith("capadvise: error: cannot execute /dev/null: Permission denied")
