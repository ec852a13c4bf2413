"""What a signal, a time-out or an answer of the health check means for a run, as a table."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest

from capadvise.observe.supervise.decisions import (
    Checked,
    Due,
    Event,
    HealthState,
    Limits,
    MainExited,
    Moment,
    Order,
    Signalled,
    State,
    Unhealthy,
    check_after_end,
    check_due,
    decide,
    succeeded,
    workload_kind,
)

ANY = Limits(patience=10, stop_patience=20)
PATIENT = replace(ANY, rest_patience=1)
ONESHOT, DAEMON = replace(ANY, kind="oneshot"), replace(ANY, kind="daemon")
ATTACHED = replace(ANY, owned=False)
TIMED = replace(ANY, seconds=5)
CONTAINERS = replace(ANY, ends_by_interrupt=True)
NOW = 100.0
NEW = State()
INTERRUPTED = State(interrupted=True, ignored_at=102)
STOPPING = State(kill_at=120)
ENDS = (Order.NOTE_ENDING, Order.STOP)
PASSED = HealthState(passed=True)
SETTLING = HealthState(passed=True, settled_at=NOW + 0.3)

# fmt: off
TABLE: list[tuple[str, Limits, State, Event, float, State, tuple[Order, ...]]] = [
    ("Ctrl-C is waited for", ANY, NEW, Signalled(signal.SIGINT), NOW,
     INTERRUPTED, (Order.NOTE_ENDING,)),
    ("who survives it was not stopped", ANY, INTERRUPTED, Moment.TICK, 102.1,
     NEW, (Order.FORGET_ENDING,)),
    ("what a daemon's starter left does not hear of it", ANY, replace(INTERRUPTED, exited=True),
     Moment.TICK, 102.1, State(interrupted=True, exited=True, kill_at=122.1), ENDS),
    ("until then it counts", ANY, INTERRUPTED, Moment.TICK, 101.9, INTERRUPTED, ()),
    ("after SIGTERM comes SIGKILL", ANY, NEW, Signalled(signal.SIGTERM), NOW,
     State(interrupted=True, kill_at=110), (Order.NOTE_ENDING,)),
    ("SIGTERM was a stop, whatever Ctrl-C was", ANY, replace(INTERRUPTED, kill_at=110),
     Moment.TICK, 105,
     replace(INTERRUPTED, kill_at=110), ()),
    ("containers that ignore it are stopped", CONTAINERS, INTERRUPTED, Moment.TICK, 102.1,
     State(interrupted=True, kill_at=122.1), ENDS),
    ("twice, it kills", CONTAINERS, INTERRUPTED, Signalled(signal.SIGINT), 100.5,
     replace(INTERRUPTED, kill_at=100.5), (Order.NOTE_ENDING,)),
    ("also while they are being stopped", CONTAINERS, State(interrupted=True, kill_at=122),
     Signalled(signal.SIGINT), 103, State(interrupted=True, kill_at=103), (Order.NOTE_ENDING,)),
    ("unhealthy for good", CONTAINERS, NEW, Unhealthy("no"), NOW,
     State(kill_at=120, health=HealthState(passed=False)), ENDS),
    ("SIGHUP is a reload", ANY, NEW, Signalled(signal.SIGHUP), NOW, NEW, ()),
    ("a terminal that closes ends it", ANY, NEW, Moment.HUNG_UP, NOW,
     State(interrupted=True, kill_at=120), ENDS),
    ("who attached lets go", ATTACHED, NEW, Moment.HUNG_UP, NOW, replace(NEW, interrupted=True),
     (Order.STOP,)),
    ("any signal detaches", ATTACHED, NEW, Signalled(signal.SIGHUP), NOW, NEW, (Order.STOP,)),
    ("time goes on", TIMED, NEW, Moment.TICK, 5.0, NEW, ()),
    ("the time is up", TIMED, NEW, Moment.TICK, 5.1, State(kill_at=25.1), ENDS),
    ("it is stopped once", TIMED, State(kill_at=25.1), Moment.TICK, 5.2, State(kill_at=25.1), ()),
    ("the time with what runs is up", replace(ATTACHED, seconds=5), NEW, Moment.TICK, 5.1,
     NEW, (Order.STOP,)),
    ("patience ends", ANY, STOPPING, Moment.TICK, 120.1, STOPPING, (Order.KILL,)),
    ("the screen stops", ANY, NEW, Moment.STOP_ORDERED, NOW,
     State(interrupted=True, kill_at=120, stop_ordered=True), ENDS),
    ("the screen stops what is stopping", ANY, STOPPING, Moment.STOP_ORDERED, NOW,
     State(interrupted=True, kill_at=120, stop_ordered=True), ()),
    ("asked again, it kills", ANY, replace(STOPPING, stop_ordered=True), Moment.STOP_ORDERED, NOW,
     State(interrupted=True, kill_at=NOW, stop_ordered=True), ()),
    ("the main process ends", ANY, NEW, MainExited(0), NOW,
     replace(NEW, exited=True), ()),
    ("it was told to, and what it left is told too", ANY, STOPPING, MainExited(-15), NOW,
     replace(STOPPING, exited=True), (Order.END_REST,)),
    ("what it left may end by itself", PATIENT, STOPPING, MainExited(-15), NOW,
     replace(STOPPING, exited=True, rest_at=101), (Order.AWAIT_REST,)),
    ("it is told to in the end", PATIENT, replace(STOPPING, rest_at=101), Moment.TICK, 101.1,
     STOPPING, (Order.END_REST,)),
    ("or killed, if that comes first", PATIENT, replace(STOPPING, rest_at=121), Moment.TICK, 120.1,
     STOPPING, (Order.END_REST, Order.KILL)),
    ("nothing more to see", ANY, NEW, Moment.FINISHED, NOW, STOPPING, ENDS),
    ("the client is gone", ANY, NEW, Moment.LEFT_BEHIND, NOW, NEW, ()),
    ("it is gone by Ctrl-C, which then reaches nobody", ANY, INTERRUPTED, Moment.LEFT_BEHIND, NOW,
     replace(INTERRUPTED, kill_at=120), ENDS),
    ("the guardian is gone", ANY, NEW, Moment.SUPERVISOR_LOST, NOW, State(interrupted=True), ()),
    ("a daemon is well", DAEMON, NEW, Checked(True), NOW,
     State(kill_at=120, health=replace(PASSED, while_alive=True)),
     (Order.READ_CREDENTIALS, *ENDS)),
    ("without a kind, it may be about to end", ANY, NEW, Checked(True), NOW,
     State(health=SETTLING), (Order.READ_CREDENTIALS,)),
    ("it did not end: a daemon", ANY, State(health=SETTLING), Moment.TICK, NOW + 0.5,
     State(kill_at=NOW + 20.5, health=replace(SETTLING, while_alive=True)), ENDS),
    ("a oneshot did its work", ONESHOT, NEW, Checked(True), NOW,
     State(kill_at=120, health=PASSED), (Order.READ_CREDENTIALS, *ENDS)),
    ("a oneshot did not", ONESHOT, NEW, Checked(False), NOW,
     State(kill_at=120, health=HealthState(passed=False)), (Order.READ_CREDENTIALS, *ENDS)),
    ("not yet", DAEMON, NEW, Checked(False), 4.0,
     State(health=HealthState(passed=False)), ()),
]
# fmt: on


@pytest.mark.parametrize(
    ("limits", "state", "event", "now", "after", "orders"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_event(
    limits: Limits, state: State, event: Event, now: float, after: State, orders: tuple[Order, ...]
) -> None:
    assert decide(limits, state, event, now) == (after, orders)


@pytest.mark.parametrize(
    ("limits", "state", "exited", "due"),
    [
        (DAEMON, NEW, False, Due.TRY),
        (DAEMON, State(health=PASSED), False, Due.NO),
        (DAEMON, STOPPING, False, Due.NO),
        (ANY, NEW, True, Due.TRY),
        (ONESHOT, NEW, False, Due.NO),
        (ONESHOT, NEW, True, Due.TO_ITS_END),
    ],
)
def test_check_is_due(limits: Limits, state: State, exited: bool, due: Due) -> None:
    assert check_due(limits, state, exited=exited) is due


@pytest.mark.parametrize(
    ("limits", "health", "due"),
    [
        (ANY, HealthState(), True),
        (ANY, HealthState(passed=False), True),  # what it writes at its end may be what is checked
        (ANY, PASSED, False),
        (ONESHOT, HealthState(), True),
        (ONESHOT, HealthState(passed=False), False),
        (DAEMON, HealthState(), False),
    ],
)
def test_check_after_the_end(limits: Limits, health: HealthState, due: bool) -> None:
    assert check_after_end(limits, health) is due


@pytest.mark.parametrize(
    ("limits", "health", "kind"),
    [
        (ANY, HealthState(), "oneshot"),
        (ANY, HealthState(passed=True, while_alive=True), "daemon"),
        (ONESHOT, HealthState(passed=True, while_alive=True), "oneshot"),
        (ATTACHED, HealthState(), "daemon"),
        (replace(ATTACHED, kind="oneshot"), HealthState(), "oneshot"),
    ],
)
def test_kind(limits: Limits, health: HealthState, kind: str) -> None:
    assert workload_kind(limits, health) == kind


@pytest.mark.parametrize(
    ("limits", "state", "status", "checked", "healthy", "did"),
    [
        (ANY, NEW, 0, False, False, True),
        (ANY, NEW, 1, False, False, False),
        (ANY, NEW, 0, True, False, None),  # the check was never run
        (ANY, State(health=PASSED), 143, True, False, True),
        (ANY, STOPPING, 143, False, False, None),  # we ended it: nobody knows
        (ANY, STOPPING, 0, False, False, None),  # it heeds SIGTERM; or its parent had exited
        (ANY, replace(STOPPING, interrupted=True), 0, False, False, True),
        (ANY, replace(STOPPING, interrupted=True), 143, False, False, False),
        (ANY, STOPPING, 143, False, True, True),
        (ATTACHED, NEW, None, False, False, None),
        (ATTACHED, State(health=PASSED), None, True, False, True),
    ],
)
def test_success(
    limits: Limits,
    state: State,
    status: int | None,
    checked: bool,
    healthy: bool,
    did: bool | None,
) -> None:
    assert succeeded(limits, state, status, checked=checked, healthy=healthy) is did
