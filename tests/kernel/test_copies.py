"""``run --copies``: what copies show, and that nobody but capadvise notices them."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from capadvise.linux.copies.watched import MACHINE
from capadvise.linux.kernel import procfs
from tests.support.processes import leftovers
from tests.support.required import tool
from tests.support.runs import CAPADVISE, Result, Run, record
from tests.support.wait import PATIENCE, until

pytestmark = pytest.mark.skipif(platform.machine() != MACHINE, reason=f"copies are of {MACHINE}")

OWNER = 54321
"""Whoever a file is given to."""

Copied = Callable[..., Result]

BEGIN = """
import os, signal, sys, time
file = "file"
if os.path.exists(file):
    os.unlink(file)
open(file, "w").close()
def end_copies():
    time.sleep(0.001)
"""
"""Of every program."""


@pytest.fixture
def copied(run: Run) -> Copied:
    """Run a Python program with copies; ``file`` is a file of root's in its folder. Whatever it
    checks comes behind ``end_copies()``: a copy sees that its calls were not made."""

    def runner(source: str, *argv: str, options: tuple[str, ...] = (), **popen: Any) -> Result:
        words = (sys.executable, "-c", f"{BEGIN}{source}", *argv)
        return run(*words, options=("--copies", "-q", *options), **popen)

    return runner


def reactions(result: Result) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = result.report["recordings"][0]["reactions"]
    return found


def reaction(result: Result) -> dict[str, Any]:
    (one,) = reactions(result)
    return one


def answered(once: Callable[[], Result]) -> Result:
    """A run in which all that was tried gave an answer: a copy has little time, which a busy
    machine may take away from it."""
    for _ in range(8):
        result = once()
        if not any(one["untried"] for one in reactions(result)):
            break
    return result


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


# ------------------------------------------------------------------------------ nobody notices

UNSEEN = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for word in sys.argv[1:]:
    assert libc.prctl(36, 1, 0, 0, 0) == 0 if word == "adopts" else libc.unshare(0x20000000) == 0
signals = []
signal.signal(signal.SIGCHLD, lambda *_: signals.append(1))
inherited = os.open("/proc/self/exe", os.O_RDONLY)
mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
for owner in range(1000, 1006):
    assert libc.chown(file.encode(), owner, -1) == 0
    end_copies()
    assert os.stat(file).st_uid == owner
assert signals == []
assert os.lseek(inherited, 0, os.SEEK_CUR) == 0
assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask
def children():
    return [line for line in open("/proc/self/task/%d/children" % os.getpid())]
assert children() == []
WALL = 0x40000000
for options in (os.WNOHANG, os.WNOHANG | WALL):
    try:
        assert os.waitpid(-1, options) is None
    except ChildProcessError:
        pass
child = os.fork()
if child == 0:
    os._exit(7)
assert os.waitpid(child, 0) == (child, 7 << 8)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
assert status["TracerPid"].strip() == "0", status
"""


@pytest.mark.parametrize(
    ("before", "how", "tried"),
    [
        ((), (), True),
        ((), ("adopts",), False),
        ((), ("new pid namespace",), False),
        (("unshare", "--pid", "--fork", "--mount-proc"), (), False),
    ],
    ids=["plain", "adopts-orphans", "before-a-new-pid-namespace", "init-of-a-pid-namespace"],
)
def test_the_process_has_no_children_besides_its_own(
    run: Run, before: tuple[str, ...], how: tuple[str, ...], tried: bool
) -> None:
    words = (*before, sys.executable, "-c", f"{BEGIN}{UNSEEN}", *how)
    result = run(*words, options=("--copies", "-q"))
    assert (result.code, result.stdout, result.stderr) == (0, "", "")
    assert reaction(result)["tried"] + reaction(result)["untried"] > 0
    assert tried or not reaction(result)["tried"]


TICKING = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
ticks = []
signal.signal(signal.SIGALRM, lambda *_: ticks.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.005)
for owner in range(1000, 1100):
    while libc.chown(file.encode(), owner, -1) != 0:
        assert ctypes.get_errno() == errno.EINTR  # it came before the question was received
end_copies()
assert os.stat(file).st_uid == 1099
signal.setitimer(signal.ITIMER_REAL, 0)
assert ticks
"""


def test_signals_come_through(copied: Copied) -> None:
    result = copied(TICKING)
    assert (result.code, result.stderr) == (0, "")


def assert_given(file: Path, script: str) -> None:
    """A script gives a file to user 1000, and ends well."""
    file.touch()
    done = subprocess.run(
        [sys.executable, "-c", script, str(file)], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert file.stat().st_uid == 1000


def test_a_signal_does_not_interrupt_a_call_whose_question_was_received(tmp_path: Path) -> None:
    """A handler without SA_RESTART would make it fail with EINTR, which chown never does."""
    asked = """
import ctypes, fcntl, os, signal, sys, time
from capadvise.linux.copies.copier import _ANSWER, _QUESTION
from capadvise.linux.copies.watched import program
from capadvise.linux.kernel import libc, uapi
import socket
ours, theirs = socket.socketpair()
child = os.fork()
if child == 0:
    came = []
    signal.signal(signal.SIGUSR1, lambda *_: came.append(1))
    listener = libc.install_listening_filter(program())
    socket.send_fds(theirs, [b"l"], [listener])
    own = ctypes.CDLL(None, use_errno=True)
    result = own.chown(sys.argv[1].encode(), 1000, -1)
    os._exit(0 if (result, came) == (0, [1]) else 1)
listener = socket.recv_fds(ours, 1, 1)[1][0]
question = bytearray(_QUESTION.size)
fcntl.ioctl(listener, uapi.SECCOMP_IOCTL_NOTIF_RECV, question)
os.kill(child, signal.SIGUSR1)
time.sleep(0.1)
ident = _QUESTION.unpack(question)[0]
answer = _ANSWER.pack(ident, 0, 0, uapi.SECCOMP_USER_NOTIF_FLAG_CONTINUE)
fcntl.ioctl(listener, uapi.SECCOMP_IOCTL_NOTIF_SEND, bytearray(answer))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert_given(tmp_path / "file", asked)


def test_questions_are_received_while_others_are_tried(tmp_path: Path) -> None:
    asked = """
import os, socket, sys, threading
from capadvise.linux.copies.copier import Copier
from capadvise.linux.copies.watched import program
from capadvise.linux.kernel import libc
ours, theirs = socket.socketpair()
child = os.fork()
if child == 0:
    socket.send_fds(theirs, [b"l"], [libc.install_listening_filter(program())])
    os.chown(sys.argv[1], 1000, -1)
    os._exit(0)
copier = Copier(socket.recv_fds(ours, 1, 1)[1][0], -1)
threading.Thread(target=copier._receive, daemon=True).start()
copier._let_go_on(copier._asked.get())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert_given(tmp_path / "file", asked)


CHOWNS = """
import os
open("f", "w").close()
for _ in range(3):
    os.chown("f", 1, 1)
    for _ in range(1_000_000):
        pass
"""
WHILE_HELD = f"""
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {CHOWNS!r}])
status = f"/proc/{{child.pid}}/status"
while "TracerPid:\\t0\\n" in (text := open(status).read()) and "zombie" not in text:
    pass
os.kill(child.pid, int(sys.argv[1]))
print(os.waitpid(child.pid, os.WUNTRACED)[1])
child.kill()
"""


@pytest.mark.parametrize(("number", "status"), [(9, 9), (19, 19 << 8 | 0x7F), (15, 15)])
def test_a_signal_to_a_process_that_is_copied_reaches_it(
    run: Run, number: int, status: int
) -> None:
    for _ in range(20):  # it is held for a moment only, which can be missed
        result = run(sys.executable, "-c", WHILE_HELD, str(number), options=("--copies", "-q"))
        if result.stdout != "0\n":
            break
    assert result.stdout.split() == [str(status)], result.stderr


THREADS = """
import threading
def give(name):
    open(name, "w").close()
    for owner in range(1000, 1020):
        os.chown(name, owner, -1)
        end_copies()
        assert os.stat(name).st_uid == owner
waiting = threading.Event()
idle = [threading.Thread(target=waiting.wait) for _ in range(int(sys.argv[1]))]
busy = [threading.Thread(target=give, args=(f"of{at}",)) for at in range(4)]
for thread in (*idle, *busy):
    thread.start()
for thread in busy:
    thread.join()
waiting.set()
assert all(os.stat(f"of{at}").st_uid == 1019 for at in range(4))
"""


@pytest.mark.parametrize("idle", [0, 64])
def test_threads(copied: Copied, idle: int) -> None:
    result = copied(THREADS, str(idle))
    assert (result.code, result.stderr) == (0, "")
    assert reactions(result)


CHILDREN = """
import subprocess
child = os.fork()
if child == 0:
    os.chown(file, 1001, -1)
    os._exit(4)
assert os.waitpid(child, 0)[1] == 4 << 8
for owner in (1002, 1003):
    subprocess.run(["chown", str(owner), file], check=True)  # vfork
    assert os.stat(file).st_uid == owner
os.setpriority(os.PRIO_PROCESS, 0, -3)
end_copies()
assert os.getpriority(os.PRIO_PROCESS, 0) == -3
"""


def test_children(copied: Copied) -> None:
    result = copied(CHILDREN)
    assert (result.code, result.stderr) == (0, "")
    checks = result.report["recordings"][0]["checks"]
    given = [one for one in checks if (one["cap"], one["program"]) == ("CAP_CHOWN", "chown")]
    assert sum(one["count"] for one in given) == 2, (given, reactions(result))
    assert "chown" in {one["program"] for one in reactions(result)}


OWN_FILTER = """
import ctypes, struct
libc = ctypes.CDLL(None)
allow = ctypes.create_string_buffer(struct.pack("<HBBI", 6, 0, 0, 0x7FFF0000))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
filter = Program(1, ctypes.addressof(allow))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(filter), 0, 0) == 0
os.chown(file, 54321, -1)
"""


def test_a_program_with_a_filter_of_its_own_is_not_copied(copied: Copied) -> None:
    result = copied(OWN_FILTER)
    assert (result.code, result.stderr) == (0, "")
    assert (reaction(result)["tried"], reaction(result)["untried"]) == (0, 1)


def test_a_program_that_is_traced_is_not_copied(tmp_path: Path, run: Run) -> None:
    foreign = tmp_path / "foreign"
    foreign.touch()
    traced = (tool("strace"), "-f", "-o", str(tmp_path / "log"), "chown", str(OWNER), str(foreign))
    result = run(*traced, options=("--copies", "-q"))
    assert result.code == 0
    assert foreign.stat().st_uid == OWNER
    assert [(one["program"], one["tried"], one["untried"]) for one in reactions(result)] == [
        ("chown", 0, 1)
    ]


AS_NOBODY = """
chown 1 $0 || exit 2
"$1" 2 $0 || exit 3
setpriv --inh-caps=-all --ambient-caps=-all chown 3 $0 && exit 4
exec setpriv --inh-caps=-all --ambient-caps=-all "$1" 5 $0
"""
"""With all capabilities; the same as a set-uid program; without any; and set-uid again."""


def test_another_user_and_a_set_uid_program(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        foreign, program = Path(folder, "foreign"), Path(folder, "give")
        foreign.touch()
        shutil.copy(tool("chown"), program)
        program.chmod(0o4755)
        argv = ("sh", "-c", AS_NOBODY, str(foreign), str(program))
        options = ("--copies", "-q", "--user", "nobody")
        result = record(tmp_path / "report.json", *argv, options=options, cwd="/")
        assert foreign.stat().st_uid == 5
    assert (result.code, result.stderr.count("\n")) == (0, 1)  # of the one without any
    assert {one["program"] for one in reactions(result)} == {"chown", "give"}


LOOP = """
for owner in range(1000, 3000):
    os.chown(file, owner, -1)
end_copies()
assert os.stat(file).st_uid == 2999
"""


def test_a_loop_is_tried_three_times(copied: Copied) -> None:
    result = copied(LOOP)
    assert (result.code, result.stderr) == (0, "")
    seen = reaction(result)
    assert 0 < seen["tried"] + seen["untried"] <= 6  # of two places: the loop, and its last round


def test_copies_below_copies(tmp_path: Path, run: Run) -> None:
    """The inner capadvise says that it can make none: there is a listener already."""
    words = (CAPADVISE, "run", "--copies", "-q", "-o", str(tmp_path / "inner.json"), "--", "true")
    result = run(*words, options=("--copies", "-q"))
    assert result.code == 3
    assert "copies cannot be made below a seccomp filter" in result.stderr
    assert run(*words[:2], *words[3:], options=("--copies", "-q")).code == 0


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
