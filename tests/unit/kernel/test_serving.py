"""Has a process come through its start? It listens, or waits for events without a time limit."""

from __future__ import annotations

import select
import subprocess
import sys
from pathlib import Path

import pytest

from capadvise.kernel import serving
from tests.support.wait import until

READY = "print(flush=True)\n"
PROGRAMS: dict[str, tuple[str, bool]] = {
    "a local socket": (
        f"import socket, sys, time\ns = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1])\n"
        f"s.listen(); {READY}time.sleep(60)",
        True,
    ),
    "a local datagram socket": (
        "import socket, sys, time\ns = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        f"s.bind(sys.argv[1]); {READY}time.sleep(60)",
        True,
    ),
    "epoll": (f"import select\ne = select.epoll(); {READY}e.poll()", True),
    "poll": (f"import select\np = select.poll(); {READY}p.poll()", True),
    "select": (f"import select, os\nr, _ = os.pipe(); {READY}select.select([r], [], [])", True),
    "pause": (f"import signal\n{READY}signal.pause()", True),
    "sigwait": (f"import signal\n{READY}signal.sigwait([signal.SIGUSR1])", True),
    "epoll with a limit": (f"import select\ne = select.epoll(); {READY}e.poll(60)", False),
    "poll with a limit": (f"import select\np = select.poll(); {READY}p.poll(60000)", False),
    "select with a limit": (f"import select\n{READY}select.select([], [], [], 60)", False),
    "sleep": (f"import time\n{READY}time.sleep(60)", False),
    "a client": (
        f"import socket, time\none, other = socket.socketpair()\n{READY}time.sleep(60)",
        False,
    ),
    "read": (f"import os\nr, _ = os.pipe(); {READY}os.read(r, 1)", False),
    "computing": (f"{READY}while True: pass", False),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_who_waits_for_work_has_come_through_its_start(name: str, tmp_path: Path) -> None:
    program, waits = PROGRAMS[name]
    words = [sys.executable, "-c", program, str(tmp_path / "socket")]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        started.stdout.readline()
        if waits:
            until(lambda: serving.waits_for_work([started.pid]))
        else:
            select.select([], [], [], 0.3)
            assert not serving.waits_for_work([started.pid])
        started.kill()


def test_a_process_that_is_gone_waits_for_nothing() -> None:
    assert not serving.waits_for_work([2**22 + 1])
