"""Saves pictures of the review's screens: ``screens.py REPORT FOLDER``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from capadvise.catalog import default
from capadvise.commands.review import Trials
from capadvise.report.load import load
from capadvise.tui.review import ReviewApp

SIZE = (120, 34)
SCREENS = {
    "proof": ("p",),
    "review": ("1", "down", "down", "down"),
    "risk": ("3",),
    "save": ("1", "s"),
}
"""Name → the keys that lead there from the one before."""


async def pictures(report: Path, folder: Path) -> None:
    """Press the keys and save what is on the screen."""
    app = ReviewApp(load(report, default()), default(), report, prover=Trials(report))
    async with app.run_test(size=SIZE) as pilot:
        for name, keys in SCREENS.items():
            await pilot.press(*keys)
            await app.workers.wait_for_complete()  # the trials
            app.clear_notifications()
            await pilot.pause(0.5)
            (folder / f"{name}.svg").write_text(app.export_screenshot(title="capadvise"))


if __name__ == "__main__":
    place = Path(sys.argv[2])
    place.mkdir(exist_ok=True)
    asyncio.run(pictures(Path(sys.argv[1]), place))
