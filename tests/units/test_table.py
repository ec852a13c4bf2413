"""The table of units in its short form, ``python -m tests.units.run --short``: all of them take an
hour."""

from __future__ import annotations

from tests.support.required import tool
from tests.units import run


def test_the_short_form_of_the_table() -> None:
    """Of nearly every kind: recorded, proven, killed at three moments, asked with its drop-in. What
    is wrong is printed."""
    assert len(run.recipes(short=True)) >= 8
    for name in ("curl", "redis-server", "cron"):
        tool(name)
    assert run.main(["--short", "--jobs", "3"]) == 0
