"""The units that stop and start with another one, and what the end of these units sets off."""

from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from capadvise.targets.systemd import manager
from capadvise.targets.systemd.refusals import refused
from capadvise.targets.systemd.unit import runs

_STOP_WITH_IT = ("ConsistsOf", "RequiredBy", "RequisiteOf", "BoundBy", "PropagatesStopTo")
_STOP_AT_ITS_START = ("Conflicts", "ConflictedBy")
_STARTED_BY_THEM = ("OnFailure", "OnSuccess")
_ACTIONS = ("FailureAction", "SuccessAction", "StartLimitAction")
_WANTED = (
    *("Id", "ActiveState", "Transient", "After", "TriggeredBy"),
    *(*_STOP_WITH_IT, *_STOP_AT_ITS_START, *_STARTED_BY_THEM, *_ACTIONS),
)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The active units that stop with a unit, or at its start."""

    starts: tuple[str, ...] = ()
    """They, and what starts them, in the order in which they start."""
    stops: tuple[str, ...] = ()
    """They without the timers, which would forget their time. They are stopped before a recording
    or a trial, so that nothing happens to them in it."""
    sets_off: tuple[str, ...] = ()
    """Units and actions that their end, or that of the unit itself, sets off."""
    transient: tuple[str, ...] = ()
    """The units that systemd forgets once they are stopped."""


def neighbours_of(name: str) -> Neighbours:
    """Ask the manager, for one unit after the other."""
    known = _reached(name)
    others = [unit for unit in known if unit != next(iter(known))]
    return Neighbours(
        _in_order({unit: known[unit]["After"].split() for unit in others}),
        tuple(unit for unit in others if not unit.endswith(".timer")),
        tuple(sentence for unit in known.values() for sentence in _sets_off(unit, known)),
        tuple(unit for unit in known if known[unit]["Transient"] == "yes"),
    )


def _reached(name: str) -> dict[str, dict[str, str]]:
    """A unit, and its neighbours that are active."""
    known: dict[str, dict[str, str]] = {}
    waiting = [name]
    while waiting:
        shown = manager.several(waiting, _WANTED)
        active = [unit for unit in shown if not known or runs(unit["ActiveState"])]
        linked = {one: None for unit in active for one in _linked(unit, first=not known)}
        known |= {unit["Id"]: unit for unit in active}
        waiting = [unit for unit in linked if unit not in known and unit != "shutdown.target"]
    return known


def _linked(unit: dict[str, str], *, first: bool) -> Iterator[str]:
    """The units that stop with one. A change notes those that start the first one by itself."""
    for key in (*_STOP_WITH_IT, *(_STOP_AT_ITS_START if first else ("TriggeredBy",))):
        yield from unit[key].split()


def _in_order(after: dict[str, list[str]]) -> tuple[str, ...]:
    """Sort units by what they start after."""
    inner = {unit: [one for one in earlier if one in after] for unit, earlier in after.items()}
    try:
        return tuple(TopologicalSorter(inner).static_order())
    except CycleError:  # systemd breaks it somewhere, too
        return tuple(after)


def _sets_off(unit: dict[str, str], known: dict[str, dict[str, str]]) -> Iterator[str]:
    """A drop-in switches off the actions of the unit itself, which is the first one."""
    actions = _ACTIONS if unit is not next(iter(known.values())) else ()
    for key in (*_STARTED_BY_THEM, *actions):
        if unit[key] not in ("", "none"):
            yield f"{key}={unit[key]} of {unit['Id']}"


def require_harmless(name: str, around: Neighbours, *, allow: bool) -> None:
    """Raise BadInput if a stop would lose a unit, or would set something off without consent."""
    if name in around.transient:
        raise refused("transient", name=name)
    if around.transient:
        raise refused("transient neighbour", name=name, other=around.transient[0])
    if around.sets_off and not allow:
        raise refused("sets off", name=name, what=", ".join(around.sets_off))
