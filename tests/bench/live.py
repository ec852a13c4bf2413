"""How fast keys are answered on the live screen while 10,000 checks a second are recorded.

A real target makes them on the real kernel (root), and Pilot presses keys meanwhile. Prints what
was recorded and lost, and milliseconds until each key was answered: the time that passed, which
other programs lengthen, and the processor time of the screen. The budget is 50 ms.

    python -m tests.bench.live
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot

from capadvise.catalog import default
from capadvise.observe.supervise.command import Command
from capadvise.tui.app import CapadviseApp
from capadvise.tui.main import Main
from capadvise.workflow.protocols import Over
from capadvise.workflow.record import live_command
from capadvise.workflow.reports import judge_and_save
from tests.bench.tui import BUDGET

KEYS: dict[str, Callable[[Main], object]] = {
    "w": lambda view: view.frozen,
    "u": lambda view: frozenset(view.live.caps.folded),
    "down": lambda view: view.live.caps.highlighted,
    "up": lambda view: view.live.caps.highlighted,
    "o": lambda view: view.live.caps.order,
    "question_mark": lambda view: len(view.app.screen_stack),
    "escape": lambda view: len(view.app.screen_stack),
    "i": lambda view: view.live.output.typing,
    "ctrl+right_square_bracket": lambda view: view.live.output.typing,
    "shift+tab": lambda view: view.focused,
}
"""Keys, and what each of them changes."""
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
        self.recorder = live_command(
            command, lambda observation: Over(*judge_and_save(observation, str(folder / "r.json")))
        )


async def press(pilot: Pilot[None], view: Main, seconds: float) -> list[tuple[float, float]]:
    """(milliseconds that passed, milliseconds of the thread) until each key had its effect."""
    while not view.live.caps.options:  # once they are drawn: a display can be frozen before
        await pilot.pause(0.1)
    await pilot.press("u", "down")
    taken = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for key, effect in KEYS.items():
            before, passed, spent = effect(view), time.perf_counter(), time.thread_time()
            view.app.simulate_key(key)
            while effect(view) == before and time.perf_counter() < passed + 5:
                await asyncio.sleep(0)
            taken.append(
                ((time.perf_counter() - passed) * 1000, (time.thread_time() - spent) * 1000)
            )
            await asyncio.sleep(0.05)
    return taken


async def measure(rate: int, seconds: float, folder: Path) -> float:
    """One round, and what came of it: milliseconds until the slowest key was answered."""
    timed = Timed(rate, seconds + 5, folder)
    view = Main(default(), source=timed.recorder)
    app = CapadviseApp(lambda: view)
    async with app.run_test(size=(160, 50)) as pilot:
        taken = await press(pilot, view, seconds)
        now = timed.recorder.now()[0]
        timed.recorder.stop()
        timed.recorder.stop()
        while not view.over:
            await pilot.pause(0.1)
    timed.recorder.close()
    passed, spent = zip(*taken, strict=True)
    checks = sum(tally.count for tally in now.tallies)
    assert view.state.over is not None
    print(
        f"{checks / now.seconds:.0f} checks a second, "
        f"{view.state.over.report.recording.lost.signal} dropped; {len(taken)} keys: "
        f"median {statistics.median(passed):.0f} ms passed ({statistics.median(spent):.0f} ms "
        f"of the thread), 95 % {sorted(passed)[int(len(passed) * 0.95)]:.0f} ms, "
        f"slowest {max(passed):.0f} ms ({max(spent):.0f} ms); budget {BUDGET:.0f} ms",
        flush=True,
    )
    return max(passed)


def main() -> None:
    """Both rounds."""
    with tempfile.TemporaryDirectory() as folder:
        print("quiet:  ", end="", flush=True)
        asyncio.run(measure(100, 5, Path(folder)))
        print("busy:   ", end="", flush=True)
        asyncio.run(measure(10_000, 10, Path(folder)))


if __name__ == "__main__":
    main()
