"""``run --copies``: nobody but capadvise notices copies, neither the process nor its children, its
threads and its signals."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.copying import BEGIN, ONLY_THERE, OWNER, Copied, reaction, reactions
from tests.support.required import tool
from tests.support.runs import CAPADVISE, Run, record
from tests.support.wait import PATIENCE

pytestmark = ONLY_THERE

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
