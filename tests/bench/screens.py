"""The three budgets of the screens, from one run on a terminal that is really there (root):

- the first useful frame of ``review`` and ``run``: the median of ten, and when the app answers;
- a key at 10,000 checks a second (``tests.bench.live``);
- what the screen and its recorder take of a processor over an idle target.

    python -m tests.bench.screens
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.live import measure
from tests.support.runs import CAPADVISE

ROUNDS = 10
FRAME, IDLE = 0.3, 1.0
_TICK = os.sysconf("SC_CLK_TCK")
_APP = b"\x1b[?1000h"
"""The app has the terminal: it wants the mouse."""


class Screen:
    """A program on a terminal that tells its background and its kind, as terminals do."""

    def __init__(self, argv: list[str], folder: Path) -> None:
        self.began = time.perf_counter()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe(argv[0], argv, {**os.environ, "TERM": "xterm-256color"})
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
        self.data = b""

    def until(self, shown: Callable[[bytes], object], seconds: float = 60) -> float:
        """Seconds since the start until something is on the screen."""
        end = time.perf_counter() + seconds
        while not shown(self.data):
            assert time.perf_counter() < end, self.data[-2000:]
            if select.select([self._fd], [], [], 0.05)[0]:
                self._answer(os.read(self._fd, 1 << 16))
        return time.perf_counter() - self.began

    def _answer(self, data: bytes) -> None:
        self.data += data
        if b"\x1b]11;?" in data:
            os.write(self._fd, b"\x1b]11;rgb:0000/0000/0000\x1b\\")
        if b"\x1b[c" in data:
            os.write(self._fd, b"\x1b[?62;c")

    def let(self, seconds: float) -> None:
        """Read what it draws, for some time."""
        end = time.perf_counter() + seconds
        self.until(lambda _: time.perf_counter() >= end, seconds + 60)

    def close(self) -> None:
        """End it, with all that it wants to write."""
        os.kill(self.pid, signal.SIGTERM)
        try:
            while os.read(self._fd, 1 << 16):
                pass
        except OSError:  # closed at the other end
            pass
        os.waitpid(self.pid, 0)
        os.close(self._fd)


def first_frames(argv: list[str], folder: Path, wanted: bytes) -> float:
    """Print medians: until something useful is there, which is returned, and until the app is."""
    firsts, apps = [], []
    for _ in range(ROUNDS):
        screen = Screen(argv, folder)
        firsts.append(screen.until(lambda data: wanted in data))
        apps.append(screen.until(lambda data: _APP in data))
        screen.close()
    first, app = statistics.median(firsts), statistics.median(apps)
    verdict = "within" if first <= FRAME else "over"
    print(
        f"first frame of {argv[1]:6}: {first * 1000:4.0f} ms (least {min(firsts) * 1000:.0f} ms; "
        f"the app: {app * 1000:.0f} ms); {verdict} {FRAME * 1000:.0f} ms",
        flush=True,
    )
    return first


def idle(folder: Path, seconds: float = 15) -> float:
    """Print what is taken while the target sleeps, in percent of a processor."""
    screen = Screen([CAPADVISE, "run", "-o", "idle.json", "--", "sleep", "300"], folder)
    screen.until(lambda data: re.search(rb"recording", data))
    screen.let(5)
    ours = [screen.pid, *_descendants(screen.pid)]
    before, drawn = sum(map(_ticks, ours)), len(screen.data)
    screen.let(seconds)
    taken = (sum(map(_ticks, ours)) - before) / _TICK / seconds * 100
    verdict = "within" if taken < IDLE else "over"
    print(
        f"idle target: {taken:.2f} % of a core in {len(ours)} processes, "
        f"{(len(screen.data) - drawn) / seconds:.0f} bytes/s drawn; {verdict} {IDLE:.0f} %",
        flush=True,
    )
    screen.close()
    return taken


def _descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid for child in map(int, children) for pid in (child, *_descendants(child))]


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def main() -> None:
    """All three."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        record = [CAPADVISE, "run", "-q", "-o", "r.json", "--"]
        subprocess.run([*record, "sh", "-c", "touch f; chown 1 f"], cwd=folder, check=True)
        first_frames([CAPADVISE, "review", "r.json"], folder, b"CHOWN")
        first_frames([CAPADVISE, "run", "-o", "x.json", "--", "sleep", "60"], folder, b"starting")
        idle(folder)
        print("keys: ", end="", flush=True)
        asyncio.run(measure(10_000, 10, folder))


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("needs root")
    main()
