"""``run --copies``: what copies show, that what they do neither happens nor is recorded, and how
they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from capadvise.linux.kernel import procfs
from tests.support.copying import BEGIN, ONLY_THERE, OWNER, Copied, answered, reaction, reactions
from tests.support.processes import leftovers
from tests.support.runs import CAPADVISE, Result, Run
from tests.support.wait import PATIENCE, until

pytestmark = ONLY_THERE

# ------------------------------------------------------------------------------ what copies show


def test_a_program_that_does_not_look_at_the_result_goes_on(tmp_path: Path, run: Run) -> None:
    foreign = tmp_path / "foreign"

    def once() -> Result:
        foreign.write_text("one\n")
        os.chown(foreign, OWNER, OWNER)
        return run("sed", "-i", "s/one/two/", str(foreign), options=("--copies", "-q"))

    result = answered(once)
    assert result.code == 0
    assert foreign.read_text() == "two\n"
    assert (foreign.stat().st_uid, foreign.stat().st_gid) == (OWNER, OWNER)
    (seen,) = (one for one in reactions(result) if one["syscall"] == "fchown")
    assert (seen["program"], seen["untried"]) == ("sed", 0)
    assert seen["tried"] == seen["went_on"] > 0
    assert seen["marked"] == 0


def test_a_tool_that_fails_without_reacts(tmp_path: Path, run: Run) -> None:
    foreign = tmp_path / "foreign"
    foreign.touch()
    words = ("chown", str(OWNER), str(foreign))
    result = answered(lambda: run(*words, options=("--copies", "-q")))
    assert result.code == 0
    assert foreign.stat().st_uid == OWNER
    seen = reaction(result)
    assert (seen["program"], seen["tried"], seen["went_on"], seen["untried"]) == ("chown", 1, 0, 0)
    assert "Operation not permitted" in seen["wrote"]
    assert "CHOWN" in result.recommended


DAEMON = """
try:
    os.chown(file, 54321, -1)
except PermissionError:
    os.write(2, b"warning: the file keeps its owner\\n")
signal.pause()
"""


@pytest.mark.parametrize(
    ("command", "call", "said"),
    [
        ("setpriv --regid=12345 --clear-groups true", "setresgid", "setresgid failed"),
        ("chroot . true", "chroot", "cannot change root directory to '.'"),
        ("mknod pipe2 c 1 3", "mknodat", "mknod: pipe2: Operation not permitted"),
    ],
)
def test_what_a_program_says_without(
    tmp_path: Path, run: Run, command: str, call: str, said: str
) -> None:
    """Of calls, too, that are never taken for optional."""

    def once() -> Result:
        return run("sh", "-c", f"rm -f pipe2; {command}; true", options=("--copies",), cwd=tmp_path)

    result = answered(once)
    (one,) = (one for one in reactions(result) if one["syscall"] == call)
    assert said in one["wrote"], one
    assert (one["tried"], one["went_on"]) == (1, 0), one


def test_a_daemon_that_warns_and_serves_on(copied: Copied) -> None:
    result = answered(lambda: copied(DAEMON, options=("--for", "2")))
    seen = reaction(result)
    assert seen["tried"] == seen["went_on"] == seen["marked"] == 1
    assert seen["wrote"] == "warning: the file keeps its owner\n"
    assert "CHOWN" not in result.recommended
    need = result.need("CHOWN")
    assert need is not None
    assert "likely optional" in json.dumps(need)
    assert "warning: the file keeps its owner" in json.dumps(need)
    assert "keeps its owner" not in result.stderr  # the process itself never said it


REACTIONS = {
    "creates a file": ("pass", "open('made', 'w').close()", "not os.path.exists('made')"),
    "truncates a file": (
        "open('kept', 'w').write('text')",
        "open('kept', 'w').close()",
        "os.path.getsize('kept') == 4",
    ),
    "removes a file": ("pass", "os.unlink(file)", "os.path.exists(file)"),
    "appends to an inherited file": (
        "log = open('log', 'ab', buffering=0)",
        "log.write(b'spilled')",
        "os.path.getsize('log') == 0",
    ),
    "moves an inherited offset": (
        "fd = os.open('/proc/self/exe', os.O_RDONLY)",
        "os.lseek(fd, 100, os.SEEK_SET)",
        "os.lseek(fd, 0, os.SEEK_CUR) == 0",
    ),
    "reads an inherited file": (
        "fd = os.open('/proc/self/exe', os.O_RDONLY)",
        "os.read(fd, 100)",
        "os.lseek(fd, 0, os.SEEK_CUR) == 0",
    ),
    "reads an inherited pipe": (
        "out, into = os.pipe(); os.write(into, b'word')",
        "os.read(out, 100)",
        "os.read(out, 100) == b'word'",
    ),
    "sends": (
        "import socket; one, other = socket.socketpair(); other.setblocking(False)",
        "one.send(b'spilled')",
        "refused_to(other.recv, 100)",
    ),
    "kills": (
        "import subprocess; child = subprocess.Popen(['sleep', '100'])",
        "os.kill(child.pid, 9)",
        "child.poll() is None and (child.kill(), child.wait())",
    ),
    "forks": (
        "out, into = os.pipe(); os.set_blocking(out, False)",
        "os.fork() or os.write(into, b'spilled')",
        "refused_to(os.read, out, 100)",
    ),
    "executes": ("pass", "os.execlp('touch', 'touch', 'made')", "not os.path.exists('made')"),
    "writes to stdout": ("pass", "os.write(1, b'spilled')", "True"),
}
"""What a program prepares, what it does where it is refused, and what holds afterwards."""
REACTING = """
def refused_to(call, *args):
    try:
        call(*args)
    except BlockingIOError:
        return True

exec(sys.argv[1])
try:
    os.chown(file, 54321, -1)
except PermissionError:
    exec(sys.argv[2])
    os._exit(3)
end_copies()
assert eval(sys.argv[3])
assert os.stat(file).st_uid == 54321
"""


@pytest.mark.parametrize("what", REACTIONS)
def test_what_a_refused_copy_would_do_does_not_happen(copied: Copied, what: str) -> None:
    result = answered(lambda: copied(REACTING, *REACTIONS[what]))
    assert (result.code, result.stdout, result.stderr) == (0, "", "")
    seen = reaction(result)
    assert (seen["tried"], seen["went_on"], seen["untried"]) == (1, 0, 0)
    assert "CHOWN" in result.recommended


SHARED = """
import mmap
shared = mmap.mmap(-1, 4096)
try:
    os.chown(file, 54321, -1)
except PermissionError:
    pass
shared[0] += 1
end_copies()
assert shared[0] == 1
"""


def test_a_copy_does_not_write_to_memory_that_others_see(copied: Copied) -> None:
    result = copied(SHARED)
    assert (result.code, result.stderr) == (0, "")
    assert (reaction(result)["tried"], reaction(result)["untried"]) == (0, 1)
    assert "CHOWN" in result.recommended


# ------------------------------------------------------------------------------ checks

RECORDED = """
import ctypes
for owner in (1000, 1001, 1002, 1003, 1004):
    try:
        os.chown(file, owner, -1)
    except PermissionError:
        os.listdir("/root")
        open("/etc/shadow").read()
        os.setgroups([5])
        os.setresgid(7, 7, 7)
        os.setresuid(7, 7, 7)
        os.fork()
    end_copies()
"""


def test_what_copies_do_is_not_recorded(run: Run, copied: Copied) -> None:
    with_copies = answered(lambda: copied(RECORDED))
    without = run(sys.executable, "-c", f"{BEGIN}{RECORDED}", options=("-q",))
    assert reaction(with_copies)["tried"] > 0
    assert not reactions(without)

    def checks(result: Result) -> Counter[tuple[object, ...]]:
        counted: Counter[tuple[object, ...]] = Counter()
        for check in result.report["recordings"][0]["checks"]:
            if check["syscall"] not in ("mmap", "brk", "mremap"):  # of the allocator
                counted[check["cap"], check["syscall"], check["granted"]] += check["count"]
        return counted

    assert checks(with_copies) == checks(without)
    assert checks(with_copies)["CAP_CHOWN", "chown", True] == 5


# ------------------------------------------------------------------------------ ends

SLEEPER = """
os.chown(file, 54321, -1)
print("given", flush=True)
sys.stdin.readline()
try:
    os.chown(file, 5, -1)
except OSError as error:
    print(error.errno, flush=True)
"""


def started(tmp_path: Path) -> tuple[subprocess.Popen[str], int]:
    """A run whose target waits for its input; and the copier's pid."""
    words = [CAPADVISE, "run", "--copies", "-q", "-o", str(tmp_path / "report.json"), "--"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [*words, sys.executable, "-c", f"{BEGIN}{SLEEPER}"],
        text=True,
        stdin=pipe,
        stdout=pipe,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "given\n"
    below = {process.pid}
    for _ in range(3):
        below |= {pid for pid in procfs.processes() if procfs.parent(pid) in below}
    (copier,) = (pid for pid in below if procfs.comm(pid) == "copier")
    return process, copier


def test_the_target_survives_the_copier(tmp_path: Path) -> None:
    process, copier = started(tmp_path)
    os.kill(copier, signal.SIGKILL)
    until(lambda: procfs.state(copier) in ("", "Z"))
    stdout, _ = process.communicate("\n", timeout=PATIENCE)
    assert stdout == "38\n"  # ENOSYS
    assert process.returncode == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert "ENOSYS" in " ".join(report["recordings"][0]["cautions"])


def test_the_copier_ends_with_the_supervisor(tmp_path: Path) -> None:
    process, copier = started(tmp_path)
    below = [pid for pid in procfs.processes() if procfs.parent(pid) == process.pid]
    process.kill()
    process.communicate(timeout=PATIENCE)
    for pid in (copier, *below):
        until(lambda pid=pid: procfs.state(pid) == "")  # type: ignore[misc]
    until(lambda: not leftovers())
