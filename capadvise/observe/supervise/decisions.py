"""Decisions after a signal, a time-out or an answer of the health check. Pure.

A state and an event give the next state and orders; the event loop carries the orders out. Times
are seconds since the run began.
"""

import signal
from dataclasses import dataclass, replace
from enum import Enum, auto

IGNORES_AFTER = 2.0
"""Seconds. A target that still lives so long after Ctrl-C was not stopped by it."""
ENDS_ITSELF = 0.3
"""Seconds in which a target without a kind, whose health check has passed, may show that it is a
oneshot whose work was done, and no daemon."""

_AGAIN = 5.0
"""Seconds after which a killed target that is not gone is killed once more."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings that do not change during a run."""

    kind: str | None = None
    """oneshot or daemon; None: a health check that passes while the target lives tells."""
    seconds: float | None = None
    """The recording ends after this time."""
    patience: float = 10.0
    """Between a SIGTERM that was passed on and SIGKILL."""
    stop_patience: float = 10.0
    """Between our own stop and SIGKILL; an engine that stops a container waits for itself. 0: it is
    killed."""
    rest_patience: float = 0.0
    """Seconds in which processes that outlast the main one at its stop may end by themselves."""
    owned: bool = True
    """The target ends with the recording. A target that was attached to goes on."""
    ends_by_interrupt: bool = False
    """Ctrl-C is a stop, also for a target that ignores it: containers, whose first process ignores
    what it has no handler for. A shell or a debugger goes on."""


@dataclass(frozen=True, slots=True)
class HealthState:
    """The results of the health check so far."""

    passed: bool | None = None
    while_alive: bool = False
    """It passed while the target lived, which makes the target a daemon."""
    settled_at: float | None = None
    """When a target without a kind has had the time to end by itself."""


@dataclass(frozen=True, slots=True)
class State:
    """How far a run has come."""

    interrupted: bool = False
    """Somebody ended it before its time."""
    ignored_at: float | None = None
    """When Ctrl-C turns out to have been no stop."""
    exited: bool = False
    """The started process has ended; its children may go on."""
    kill_at: float | None = None
    """When the target is killed; None: it goes on."""
    rest_at: float | None = None
    """When the processes that outlast the main one get the stop signal, too."""
    stop_ordered: bool = False
    health: HealthState = HealthState()


class Order(Enum):
    """The orders to the event loop."""

    NOTE_ENDING = auto()
    """Capability checks from now on are part of the target's stop."""
    FORGET_ENDING = auto()
    STOP = auto()
    """End the target as a runtime would; detach from what is not ours."""
    AWAIT_REST = auto()
    """The main process has ended after the stop signal: other processes may end by themselves."""
    END_REST = auto()
    """End these, too."""
    KILL = auto()
    READ_CREDENTIALS = auto()
    """The health check has passed: note which users the processes run as."""


class Moment(Enum):
    """The events that carry no value."""

    HUNG_UP = auto()
    """The terminal was closed: nobody sees it, and nobody can end it any more."""
    TICK = auto()
    """Time has passed."""
    STOP_ORDERED = auto()
    """The user's screen asks for the end; asked again, it kills."""
    FINISHED = auto()
    """There is nothing more to see: what still runs is to end."""
    LEFT_BEHIND = auto()
    """The started process, which would pass a signal on, has ended; the target goes on."""
    SUPERVISOR_LOST = auto()
    """The guardian or the engine was killed, and with it what it kept."""


@dataclass(frozen=True, slots=True)
class Signalled:
    """A signal reached capadvise."""

    number: int


@dataclass(frozen=True, slots=True)
class MainExited:
    """The process that was started has ended."""

    status: int


@dataclass(frozen=True, slots=True)
class Checked:
    """A try of the health check has ended."""

    passed: bool


@dataclass(frozen=True, slots=True)
class Unhealthy:
    """The engine says that the target's own health check has failed for good."""

    output: str


@dataclass(frozen=True, slots=True)
class HealthCheckKnown:
    """The target has a health check of its own, which capadvise is to run."""

    script: str


Event = Moment | Signalled | MainExited | Checked | Unhealthy
Happening = Moment | MainExited | Unhealthy | HealthCheckKnown
"""The events that a subject reports."""
Decision = tuple[State, tuple[Order, ...]]


def decide(limits: Limits, state: State, event: Event, now: float) -> Decision:
    """The next state, and the orders."""
    match event:
        case Moment.TICK:
            return _time_has_passed(limits, state, now)
        case Signalled(number):
            return _signalled(limits, state, number, now)
        case Moment.HUNG_UP:
            return _stop(limits, replace(state, interrupted=True), now)
        case Moment.STOP_ORDERED:
            return _stop_ordered(limits, state, now)
        case MainExited():
            return _main_exited(limits, state, now)
        case Checked():
            return _checked(limits, state, event, now)
        case Moment.FINISHED:
            return _stop(limits, state, now)
        case Moment.LEFT_BEHIND:
            return _stop(limits, state, now) if state.interrupted else (state, ())
        case Unhealthy():
            failed = replace(state, health=replace(state.health, passed=False))
            return _stop(limits, failed, now)
        case Moment.SUPERVISOR_LOST:
            return replace(state, interrupted=True), ()


def _stop(limits: Limits, state: State, now: float) -> Decision:
    if not limits.owned:
        return state, (Order.STOP,)
    if state.kill_at is not None:
        return state, ()
    if not limits.stop_patience:  # its stop does not matter
        return replace(state, kill_at=now + _AGAIN), (Order.NOTE_ENDING, Order.KILL)
    stopping = replace(state, kill_at=now + limits.stop_patience)
    return stopping, (Order.NOTE_ENDING, Order.STOP)


def _main_exited(limits: Limits, state: State, now: float) -> Decision:
    state = replace(state, exited=True)
    if state.kill_at is None:
        return state, ()
    if not limits.rest_patience:
        return state, (Order.END_REST,)
    return replace(state, rest_at=now + limits.rest_patience), (Order.AWAIT_REST,)


def _stop_ordered(limits: Limits, state: State, now: float) -> Decision:
    again = state.stop_ordered
    state = replace(state, interrupted=True, stop_ordered=True)
    if again and state.kill_at is not None:
        state = replace(state, kill_at=now)
    return _stop(limits, state, now)


def _signalled(limits: Limits, state: State, number: int, now: float) -> Decision:
    if not limits.owned:
        return state, (Order.STOP,)
    if number == signal.SIGHUP:
        return state, ()  # a reload, for most
    if limits.ends_by_interrupt and state.interrupted:
        return replace(state, kill_at=now), (Order.NOTE_ENDING,)  # once more: it takes too long
    state = replace(state, interrupted=True)
    if number == signal.SIGTERM:
        state = replace(state, kill_at=now + limits.patience)
    else:
        state = replace(state, ignored_at=now + IGNORES_AFTER)
    return state, (Order.NOTE_ENDING,)


def _time_has_passed(limits: Limits, state: State, now: float) -> Decision:
    orders: tuple[Order, ...] = ()
    if state.ignored_at is not None and now > state.ignored_at and state.kill_at is None:
        state, orders = _outlived_interrupt(limits, replace(state, ignored_at=None), now)
    settled = state.health.settled_at is not None and now > state.health.settled_at
    if settled:
        state = _alive(limits, state)
    if settled or (limits.seconds and now > limits.seconds):
        state, more = _stop(limits, state, now)
        orders += more
    kills = state.kill_at is not None and now > state.kill_at
    if state.rest_at is not None and (kills or now > state.rest_at):
        state = replace(state, rest_at=None)
        orders += (Order.END_REST,)
    return state, (*orders, Order.KILL) if kills else orders


def _outlived_interrupt(limits: Limits, state: State, now: float) -> Decision:
    if limits.ends_by_interrupt or state.exited:  # a daemon does not get Ctrl-C
        return _stop(limits, state, now)
    # It goes on after Ctrl-C, as a shell or a debugger does: that was no stop.
    return replace(state, interrupted=False), (Order.FORGET_ENDING,)


def _checked(limits: Limits, state: State, answer: Checked, now: float) -> Decision:
    state = replace(state, health=replace(state.health, passed=answer.passed))
    if answer.passed or limits.kind == "oneshot":
        if limits.kind is None:  # even where the main process has ended: the rest may follow
            settled_at = now + ENDS_ITSELF
            state = replace(state, health=replace(state.health, settled_at=settled_at))
            return state, (Order.READ_CREDENTIALS,)
        state, orders = _stop(limits, _alive(limits, state), now)
        return state, (Order.READ_CREDENTIALS, *orders)
    return state, ()


def _alive(limits: Limits, state: State) -> State:
    """The health check has ended the run: note if it passed while the target lived."""
    while_alive = bool(state.health.passed) and limits.kind != "oneshot"
    return replace(state, health=replace(state.health, while_alive=while_alive))


class Due(Enum):
    """How the health check is to run now."""

    NO = auto()
    TRY = auto()
    """Look at the try under way, or start one."""
    TO_ITS_END = auto()
    """The target has ended: there is nothing else to do."""


def check_due(limits: Limits, state: State, *, exited: bool) -> Due:
    """A daemon is checked while it lives, a oneshot once its main process has ended; without a
    kind, whichever comes first."""
    if state.health.passed or state.kill_at is not None:
        return Due.NO
    if limits.kind != "oneshot":
        return Due.TRY
    return Due.TO_ITS_END if exited else Due.NO


def check_after_end(limits: Limits, health: HealthState) -> bool:
    """True if a last try is due when the target is gone."""
    undecided = health.passed is None or limits.kind is None
    return undecided and not health.passed and limits.kind != "daemon"


def workload_kind(limits: Limits, health: HealthState) -> str:
    """How to run it again: a target that goes on by itself is a daemon."""
    if limits.kind:
        return limits.kind
    return "daemon" if health.while_alive or not limits.owned else "oneshot"


def succeeded(
    limits: Limits, state: State, status: int | None, *, checked: bool, healthy: bool
) -> bool | None:
    """True if the target did its job. ``checked``: it has a health check; ``healthy``: one of its
    own has passed. None: unknown, since we ended it when its time was up."""
    if checked:
        return state.health.passed
    if healthy:
        return True
    if not limits.owned or (state.kill_at is not None and not state.interrupted):
        return None
    return status == 0
