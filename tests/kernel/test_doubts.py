"""Programs that work with every capability and fail without one that the set of a run leaves out:
the headline says so. The truth is tried, with a smaller bounding set."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs import Result, Run

PYTHON = sys.executable
SEARCH = """import os, sys
for each in filter(str.isdigit, os.listdir("/proc")):
    try:
        name = open(f"/proc/{each}/cmdline").read().split(chr(0))
        if name[-2:-1] == ["987654"]:
            sys.exit(not os.readlink(f"/proc/{each}/cwd"))
    except FileNotFoundError:
        pass
sys.exit(1)
"""
CONGESTION = """import socket
from pathlib import Path
allowed = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control").read_text().split()
every = Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()
one = next((name for name in every if name not in allowed), every[0])
with socket.socket() as opened:
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, one.encode())
"""
FORCED = """import socket
with socket.socket() as opened:
    opened.setsockopt(socket.SOL_SOCKET, 33, 1 << 20)
"""
WITHOUT_ATTRIBUTES = """import errno, os
try:
    os.setxattr("/proc/version", "trusted.doubts", b"")
except OSError as error:
    raise SystemExit(error.errno != errno.EOPNOTSUPP)
"""
LISTED = """import os
raise SystemExit("trusted.doubts" not in os.listxattr("/dev/shm/marked-for-doubts"))
"""
LOCKED = """import ctypes, os
raise SystemExit(ctypes.CDLL(None).shmctl(int(os.environ["SEGMENT"]), 11, None) != 0)
"""
BOUNDING = "import ctypes; raise SystemExit(ctypes.CDLL(None).prctl(23, 25) != 1)"
CAPGET = """import ctypes
header, data = (ctypes.c_uint * 2)(0x20080522, 0), (ctypes.c_uint * 6)()
assert ctypes.CDLL(None).capget(header, data) == 0
raise SystemExit(not data[0] & 1 << 5)
"""

# The program, and the capability; None: whatever it finds missing in its sets.
ODD: dict[str, tuple[list[str], str | None]] = {
    "kill -0": (["sh", "-c", "kill -0 $FOREIGN"], "KILL"),
    "pkill -0": (["pkill", "-0", "-f", "sleep 98765[4]"], "KILL"),
    "a TCP algorithm": ([PYTHON, "-c", CONGESTION], "NET_ADMIN"),
    "SO_RCVBUFFORCE": ([PYTHON, "-c", FORCED], "NET_ADMIN"),
    "a search in /proc": ([PYTHON, "-c", SEARCH], "SYS_PTRACE"),
    "test -w": (["sh", "-c", "[ -w closed ]"], "DAC_OVERRIDE"),
    "test -r": (["bash", "-c", "[ -r closed/. ] && test -w closed"], "DAC_OVERRIDE"),
    "listxattr": ([PYTHON, "-c", LISTED], "SYS_ADMIN"),
    "setxattr": ([PYTHON, "-c", WITHOUT_ATTRIBUTES], "SYS_ADMIN"),
    "SHM_LOCK": ([PYTHON, "-c", LOCKED], "IPC_LOCK"),
    "kallsyms": (["sh", "-c", "! head -n 1 /proc/kallsyms | grep -q ^0000000000000000"], "SYSLOG"),
    "append to a set-id file": (
        ["sh", "-c", "echo >> setid; [ -u setid ]"],
        "FSETID",
    ),
    "status": (["grep", "-q", "CapEff.*[1-9a-f]", "/proc/self/status"], None),
    "status of the shell": (
        ["sh", "-c", "grep -q CapEff:.*[1-9a-f] /proc/$$/status; exit $?"],
        None,
    ),
    "capget": ([PYTHON, "-c", CAPGET], None),
    "bounding set": ([PYTHON, "-c", BOUNDING], "SYS_TIME"),
}
SETPRIV = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]


@pytest.fixture(scope="module")
def foreign() -> Iterator[int]:
    """Another user's process."""
    words = ["setpriv", "--reuid=65534", "--clear-groups", "sleep", "987654"]
    with subprocess.Popen(words) as started:
        yield started.pid
        started.kill()


@pytest.fixture(scope="module")
def segment() -> Iterator[str]:
    """Another user's shared memory."""
    words = ["setpriv", "--reuid=65534", "--clear-groups", "ipcmk", "-M", "4096", "-p", "0666"]
    made = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[-1]
    yield made
    subprocess.run(["ipcrm", "-m", made], check=True)


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "w"
    folder.mkdir()
    script = (
        "mkdir closed; chmod 755 closed; chown 65534 closed; touch setid; chmod 4755 setid; "
        "touch /dev/shm/marked-for-doubts; setfattr -n trusted.doubts /dev/shm/marked-for-doubts"
    )
    subprocess.run(["sh", "-ec", script], cwd=folder, check=True)
    yield folder
    Path("/dev/shm/marked-for-doubts").unlink()


def doubtful(result: Result) -> set[str | None]:
    return {doubt["cap"] for doubt in result.report["conclusion"]["doubts"]}


@pytest.mark.parametrize("name", ODD)
def test_what_an_odd_program_needs_is_in_doubt(
    name: str,
    run: Run,
    work: Path,
    foreign: int,
    segment: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FOREIGN", str(foreign))
    monkeypatch.setenv("SEGMENT", segment)
    argv, cap = ODD[name]
    result = run(*argv)
    assert result.code == 0, result.stderr
    assert subprocess.run([*SETPRIV, *argv], cwd=work, capture_output=True).returncode != 0
    wanted = None if cap is None else f"CAP_{cap}"
    assert cap not in result.recommended
    assert wanted in doubtful(result)
    assert result.report["conclusion"]["standing"] == "likely"
    assert "may be needed" in result.stderr


AT_STOP = "trap 'chown 65534 mine || exit 1; exit 0' TERM; touch mine; while :; do sleep 0.1; done"


def test_what_a_program_does_only_at_its_stop_is_in_doubt(run: Run) -> None:
    result = run("sh", "-c", AT_STOP, options=("--for", "2"))
    assert "CAP_CHOWN" in doubtful(result)
    assert "CHOWN (" in result.stderr
    assert "drop all" not in result.stderr


def test_a_server_that_is_stopped_has_shown_that_it_works(run: Run) -> None:
    server = [PYTHON, "-m", "http.server", "8765"]
    result = run(*server, options=("--for", "3"), net="true")
    assert result.report["recordings"][0]["serving"] is True
    assert result.report["conclusion"]["standing"] == "recorded"


def test_a_trial_decides(run: Run, work: Path, foreign: int) -> None:
    result = run("sh", "-c", "[ -w closed ]", options=("--prove",))
    assert result.minimal == {"DAC_OVERRIDE"}
    assert doubtful(result) == set()


USUAL = {
    "nothing": ["true"],
    "a list": ["ls", "-la", "/usr"],
    "processes": ["ps", "aux"],
    "one by its name": ["pgrep", "sleep"],
    "settings": ["sysctl", "-a"],
    "an interpreter": [PYTHON, "-c", "import socket, subprocess; subprocess.run(['true'])"],
    "an archive": ["sh", "-c", "mkdir d; touch d/f; tar cf d.tar d; tar xf d.tar -C /dev/shm"],
    "a copy": ["sh", "-c", "touch g; cp -a g h; mv h i; install -m 644 i j; rm g i j"],
    "an owner": ["sh", "-c", "touch k; chown 65534 k; chmod 600 k"],
    "a shell's own signals": ["sh", "-c", "sleep 5 & kill -0 $!; kill $!; wait $! || :"],
    "a build": [
        "sh",
        "-c",
        "find . -type f | xargs -r sha256sum | sort > sums; sed -i s/a/b/ sums",
    ],
}


@pytest.mark.parametrize("name", USUAL)
def test_usual_programs_are_not_in_doubt(name: str, run: Run, foreign: int) -> None:
    result = run(*USUAL[name])
    assert result.report["conclusion"]["doubts"] == []
    assert result.report["conclusion"]["standing"] == "recorded"
