"""How fast keys are answered on the live screen while 10,000 checks a second are recorded.

A real target makes them on the real kernel (root), and Pilot presses keys meanwhile. Prints what
was recorded and lost, and milliseconds until each key was answered: the time that passed, which
other programs lengthen, and the processor time of the screen's thread. In a second round the judge
is busy all the time with 100,000 distinct checks. The budget is 100 ms.

    python -m tests.bench.live
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from textual.pilot import Pilot

from capadvise.catalog import default
from capadvise.commands.live import LiveRecorder
from capadvise.commands.run import saved
from capadvise.decide import decide_all
from capadvise.linux.command import Command
from capadvise.tui.app import CapadviseApp
from capadvise.tui.live import LiveView
from capadvise.tui.protocols import Now
from capadvise.tui.review import ReviewView
from tests.bench.tui import BUDGET, large

KEYS = ("down", "u", "up", "p", "p", "tab", "tab", "question_mark", "question_mark", "u")
TARGET = """
import os, time
file = os.open("/tmp", os.O_TMPFILE | os.O_RDWR)
end = time.monotonic() + float({seconds})
while (now := time.monotonic()) < end:
    for _ in range({rate} // 100):
        os.fchown(file, 65534, 65534)
    print("line", flush=True)
    time.sleep(max(0, now + 0.01 - time.monotonic()))
"""


class Timed:
    """A recorder of the real kernel whose end is not reached while keys are pressed."""

    def __init__(self, rate: int, seconds: float, folder: Path) -> None:
        code = TARGET.format(rate=rate, seconds=seconds)
        command = Command((sys.executable, "-c", code))
        self.recorder = LiveRecorder(command, lambda seen: saved(seen, str(folder / "r.json")))


async def press(pilot: Pilot[None], view: LiveView, seconds: float) -> list[tuple[float, float]]:
    """(milliseconds that passed, milliseconds of the thread) for each key."""
    while view.recorder.now() == Now() or not view.recorder.now().tallies:
        await pilot.pause(0.1)
    taken = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for key in KEYS:
            passed, spent = time.perf_counter(), time.thread_time()
            await pilot.press(key)
            taken.append(
                ((time.perf_counter() - passed) * 1000, (time.thread_time() - spent) * 1000)
            )
            await asyncio.sleep(0.05)
    return taken


async def measure(rate: int, seconds: float, folder: Path) -> None:
    """One round, and what came of it."""
    timed = Timed(rate, seconds + 5, folder)
    view = LiveView(
        timed.recorder,
        default(),
        lambda over: ReviewView(over.report, default(), over.path),
    )
    app = CapadviseApp(lambda: view)
    async with app.run_test(size=(160, 50)) as pilot:
        taken = await press(pilot, view, seconds)
        now = timed.recorder.now()
        timed.recorder.stop()
        while view.over is None:
            await pilot.pause(0.1)
        passed, spent = zip(*taken, strict=True)
        checks = sum(tally.count for tally in now.tallies)
        print(
            f"{checks / now.seconds:.0f} checks a second, "
            f"{view.over.report.recording.lost.signal} lost; {len(taken)} keys: "
            f"median {statistics.median(passed):.0f} ms passed ({statistics.median(spent):.0f} ms "
            f"of the thread), 95 % {sorted(passed)[int(len(passed) * 0.95)]:.0f} ms, "
            f"slowest {max(passed):.0f} ms ({max(spent):.0f} ms); budget {BUDGET:.0f} ms"
        )
    timed.recorder.close()


def judge_for_ever(stop: threading.Event) -> None:
    """What the judge does with 100,000 distinct checks, again and again."""
    known = large()
    while not stop.is_set():
        decide_all(known.recordings, default())


def main() -> None:
    """Both rounds."""
    with tempfile.TemporaryDirectory() as folder:
        print("quiet:  ", end="", flush=True)
        asyncio.run(measure(100, 5, Path(folder)))
        print("busy:   ", end="", flush=True)
        asyncio.run(measure(10_000, 10, Path(folder)))
        stop = threading.Event()
        judge = threading.Thread(target=judge_for_ever, args=(stop,))
        judge.start()
        print("busiest:", end=" ", flush=True)
        asyncio.run(measure(10_000, 10, Path(folder)))
        stop.set()
        judge.join()


if __name__ == "__main__":
    main()
