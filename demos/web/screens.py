"""Saves pictures of the screens: ``screens.py FOLDER``. All that they show has really happened: the
small web server runs under capadvise, is recorded, reviewed and proven. Needs root."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from capadvise.catalog import default
from capadvise.observe.supervise.command import Command
from capadvise.observe.supervise.record import Observation
from capadvise.tui.app import CapadviseApp
from capadvise.tui.main import Main
from capadvise.workflow.protocols import Over
from capadvise.workflow.record import live_command
from capadvise.workflow.reports import judge_and_save
from capadvise.workflow.review_prover import ReviewProver

SIZE = (120, 33)
SERVER = ("python3", "demos/web/server.py")
CHECK = "curl -fs http://localhost/ >/dev/null"


async def pictures(folder: Path, scratch: Path) -> None:
    """The way through the screens, with a picture of each."""
    report, go = scratch / "web.json", scratch / "go"

    def finish(seen: Observation) -> Over:
        """The trials need not wait until they are told to go on."""
        plain = replace(seen, workload=replace(seen.workload, check=CHECK))
        return Over(*judge_and_save(plain, str(report)))

    recorder = live_command(Command(SERVER, check=f"test -e {go} && {CHECK}"), finish)
    main = Main(default(), source=recorder, prover=ReviewProver)
    app = CapadviseApp(lambda: main)
    async with app.run_test(size=SIZE) as pilot:

        async def picture(name: str, *keys: str) -> None:
            await pilot.press(*keys)
            await app.workers.wait_for_complete()  # the trials
            app.clear_notifications()
            await pilot.pause(0.5)
            svg = app.export_screenshot(title="capadvise")
            svg = svg.replace("<svg ", '<svg xml:space="preserve" ', 1)  # blanks begin many texts
            (folder / f"{name}.svg").write_text(svg)

        await _until(pilot, lambda: sum(len(now.tallies) for now in recorder.now()) > 4)
        await asyncio.create_subprocess_shell(f"{CHECK}; {CHECK}")
        await pilot.pause(2.0)
        await picture("live", "u", "down")
        go.touch()
        await _until(pilot, lambda: main.over)
        await picture("proof", "p")
        await picture("review", "2", "down")
        await picture("risk", "4")
    recorder.close()


async def _until(pilot: Pilot[Any], holds: Any) -> None:
    while not holds():
        await pilot.pause(0.1)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(pictures(place, Path(name)))
