"""A call in a process of its own, and what it tells."""

from __future__ import annotations

from typing import Any

import pytest

from capadvise.proof.trials.sandbox import Apart, FailedApart, Tell


def test_what_is_told_before_the_result_comes_first() -> None:
    def call(tell: Tell) -> None:
        tell("up", so_far=True)
        tell("still up", so_far=True)
        tell("ended")
        tell("too late")

    told: list[Any] = []
    apart = Apart[str](call)
    assert apart.result(told.append) == "ended"
    assert told == ["up", "still up"]
    apart.wait()


def test_a_call_that_fails_after_it_has_told_something_has_failed() -> None:
    def call(tell: Tell) -> None:
        tell("up", so_far=True)
        raise OSError(5, "Input/output error")

    apart = Apart[str](call)
    with pytest.raises(FailedApart, match="Input/output error"):
        apart.result()
    apart.wait()


def test_a_defect_is_told_and_the_child_does_not_go_on_as_its_parent() -> None:
    def call(tell: Tell) -> None:
        raise KeyError("no such plan")

    apart = Apart[str](call)
    with pytest.raises(FailedApart, match=r"KeyError\('no such plan'\)"):
        apart.result()
    apart.wait()
