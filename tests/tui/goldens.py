"""Screens as plain text, to be read in a diff."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from tests.support.screens import (
    BIND,
    BRK,
    CHOWN,
    SETUID,
    app_on,
    drive,
    press,
    proven,
    report,
    screen_text,
)

GOLDEN = Path(__file__).parent / "golden"
SCREENS: dict[str, tuple[tuple[int, int], tuple[str, ...]]] = {
    "review-80x24": ((80, 24), ()),
    "review-160x50": ((160, 50), ("down", "space")),
    "evidence-80x24": ((80, 24), ("v",)),
    "proof-80x24": ((80, 24), ("3",)),
    "risk-80x24": ((80, 24), ("4",)),
    "review-60x16": ((60, 16), ()),
    "help-80x24": ((80, 24), ("question_mark",)),
}
"""Size, and the keys that lead there."""


def drawn(name: str) -> str:
    """A screen as it is drawn now."""
    size, keys = SCREENS[name]
    app = app_on(proven(report(CHOWN, BIND, SETUID, BRK, argv=("nginx", "-g", "daemon off;"))))
    text = ""

    async def script(pilot: Pilot[Any]) -> None:
        nonlocal text
        await press(pilot, *keys)
        text = screen_text(app)

    drive(app, script, size)
    return text
