"""What still gets on, and what stands still: told by the names of what runs."""

from __future__ import annotations

import pytest

from capadvise.observe.supervise.event_loop import StandingStill

CRASH_LOOP = ["init", "init web", "init", "init web", "init", "init web", *["init"] * 20]
GETS_ON = ["init", "init", "init", "init a", "init a", "init a", "init b", "init b", "init c"]


@pytest.mark.parametrize(("seconds", "still"), [(CRASH_LOOP, True), (GETS_ON, False)])
def test_who_starts_nothing_new_stands_still(seconds: list[str], still: bool) -> None:
    watch = StandingStill(4.0)
    said = [
        watch.look(float(second), lambda running=running: (set(running.split()), False))  # type: ignore[misc]
        for second, running in enumerate(seconds)
    ]
    assert any(said) is still
    if still:
        assert said.index(True) == 6  # more than four seconds after the last new name


@pytest.mark.parametrize(("busy", "at"), [(False, 5), (True, 9)])
def test_who_computes_is_given_twice_as_long(busy: bool, at: int) -> None:
    watch = StandingStill(4.0)
    said = [watch.look(float(second), lambda: ({"initdb"}, busy)) for second in range(12)]
    assert said.index(True) == at
