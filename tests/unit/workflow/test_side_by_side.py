"""Trials side by side: begun ahead, given up when nobody will ask, ended with the others."""

from __future__ import annotations

import threading
import time

import pytest

from capadvise.judgement.differences import Observed
from capadvise.judgement.proven import Interrupted, TrialOutcome
from capadvise.model.caps import CapSet, parse_set
from capadvise.proof.attempts import Attempt
from capadvise.proof.trials.runner import BrokenTrial
from capadvise.proof.trials.stop import Stop
from capadvise.workflow.side_by_side import Places, SideBySide, waiting_places
from tests.support.wait import PATIENCE, until

CHOWN, KILL, NOTHING = parse_set(["CHOWN"]), parse_set(["KILL"]), parse_set([])


def attempts(*sets: CapSet) -> list[Attempt]:
    return [Attempt(caps) for caps in sets]


class Trials:
    """Each runs until it is let go, or ended."""

    def __init__(self) -> None:
        self.begun: dict[CapSet, threading.Event] = {}
        self.go: dict[CapSet, threading.Event] = {}
        self.observed: list[tuple[CapSet, bool]] = []
        self.ended: list[CapSet] = []
        for caps in (CHOWN, KILL, NOTHING):
            self.begun[caps], self.go[caps] = threading.Event(), threading.Event()

    def __call__(self, attempt: Attempt, observed: bool, stop: Stop) -> TrialOutcome:
        caps = attempt.caps
        self.observed.append((caps, observed))
        self.begun[caps].set()
        while not self.go[caps].wait(0.005):
            if stop.asked:
                self.ended.append(caps)
                raise Interrupted
        return TrialOutcome(True, "", 0.1, Observed(0))


def test_two_are_under_way_at_once() -> None:
    run = Trials()
    with SideBySide(run, Stop(), 2) as trials:
        trials.ahead(attempts(CHOWN, KILL, NOTHING))
        assert run.begun[CHOWN].wait(PATIENCE)
        assert run.begun[KILL].wait(PATIENCE)
        assert not run.begun[NOTHING].is_set()
        for caps in (CHOWN, KILL):
            run.go[caps].set()
            assert trials(caps).passed
    assert not any(observed for _, observed in run.observed)


def test_what_nobody_asks_for_any_more_is_ended() -> None:
    run = Trials()
    with SideBySide(run, Stop(), 2) as trials:
        trials.ahead(attempts(CHOWN, KILL))
        assert run.begun[KILL].wait(PATIENCE)
        run.go[CHOWN].set()
        assert trials(CHOWN).passed
        trials.ahead(attempts(NOTHING))
    assert KILL in run.ended


def test_what_is_tried_again_is_observed() -> None:
    run = Trials()
    with SideBySide(run, Stop(), 1) as trials:
        trials.ahead(attempts(CHOWN))
        run.go[CHOWN].set()
        assert trials(CHOWN).passed
        assert trials(CHOWN).passed
    assert run.observed == [(CHOWN, False), (CHOWN, True)]


def test_who_ends_all_ends_those_ahead() -> None:
    run, stop = Trials(), Stop()
    with SideBySide(run, stop, 2) as trials:
        trials.ahead(attempts(CHOWN, KILL))
        assert run.begun[CHOWN].wait(PATIENCE)
        stop.ask()
        with pytest.raises(Interrupted):
            trials(CHOWN)


def test_a_trial_that_cannot_be_made_ends_the_search_and_says_why() -> None:
    def broken(attempt: Attempt, observed: bool, stop: Stop) -> TrialOutcome:
        raise BrokenTrial("the disk is full")

    with SideBySide(broken, Stop(), 1) as trials:
        with pytest.raises(Interrupted):
            trials(CHOWN)
        assert str(trials.broken) == "the disk is full"


def test_one_that_takes_long_lets_another_begin() -> None:
    """It waits for its time-out."""
    run = Trials()
    with SideBySide(run, Stop(), 2) as trials:
        trials.expect(0.05)
        trials.ahead(attempts(CHOWN, KILL, NOTHING))
        assert run.begun[NOTHING].wait(PATIENCE)


@pytest.mark.parametrize(
    ("busy", "more"), [(0.0, 4), (0.3, 4), (0.6, 2), (1.0, 0), (2.0, 0), (4.0, 0)]
)
def test_the_less_one_keeps_the_processors_busy_the_more_run_at_once(
    busy: float, more: int
) -> None:
    assert waiting_places(4, busy) == more


def test_places_can_be_added() -> None:
    run = Trials()
    with SideBySide(run, Stop(), 2) as trials:
        trials.add_places(1)
        trials.ahead(attempts(CHOWN, KILL, NOTHING))
        assert all(run.begun[caps].wait(PATIENCE) for caps in (CHOWN, KILL, NOTHING))


def test_they_begin_in_order() -> None:
    order: list[int] = []

    def take(number: int) -> None:
        with places.one():
            order.append(number)

    places = Places(1)
    threads = [threading.Thread(target=take, args=(number,)) for number in range(5)]
    with places.one():
        for thread in threads:
            thread.start()
            until(lambda: sum(one.is_alive() for one in threads) == len(places._waiting))
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_what_has_failed_is_given_more_time_and_what_began_with_less_is_ended() -> None:
    begun, ended = list[Attempt](), list[CapSet]()

    def run(attempt: Attempt, observed: bool, stop: Stop) -> TrialOutcome:
        begun.append(attempt)
        if attempt.caps != CHOWN:
            while not stop.asked:
                time.sleep(0.005)
            ended.append(attempt.caps)
            raise Interrupted
        return TrialOutcome(attempt.patient, "", 0.1, Observed(0))

    with SideBySide(run, Stop(), 2) as trials:
        trials.ahead(attempts(CHOWN, KILL))
        assert not trials(CHOWN).passed
        assert not ended
        assert trials(CHOWN).passed
        until(lambda: ended == [KILL])
    assert [attempt.patient for attempt in begun if attempt.caps == CHOWN] == [False, True]
