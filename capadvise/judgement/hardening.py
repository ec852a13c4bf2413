"""Proposes options of systemd that confine a unit further, if its set and its recording allow them.
Pure.

The table says which capabilities each option takes away or makes useless, and which calls it
refuses: an option that contradicts the recording is not proposed. Trials decide about the rest.
"""

import functools
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from capadvise.model.caps import CapSet, parse_set
from capadvise.model.recording import Check, Namespace, Recording
from capadvise.model.wording import set_text

_SET_ID_BITS = 0o6000


@dataclass(frozen=True, slots=True)
class UnitOption:
    """A line of a unit."""

    line: str
    caps: CapSet = frozenset()
    """Capabilities that it takes away, or makes useless."""
    calls: tuple[str, ...] = ()
    """Calls that it refuses; each needs a capability."""

    @property
    def key(self) -> str:
        """The name of the property in ``systemctl show``."""
        return self.line.partition("=")[0]


NO_NEW_PRIVILEGES = "NoNewPrivileges=yes"
GAINS = "it runs a set-id program, or one with file capabilities"
MAY_GAIN = "not all that it starts was seen, and it may run a set-id program"
"""Why a file does not forbid new privileges."""
_TABLE = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
OPTIONS = tuple(
    UnitOption(row["line"], parse_set(row.get("caps", "").split()), tuple(row.get("calls", ())))
    for row in _TABLE
)
LINES = tuple(option.line for option in OPTIONS)
OPTION_KEYS = frozenset(option.key for option in OPTIONS)
_NAMESPACES = frozenset({"RestrictNamespaces=yes", "SystemCallFilter=~@mount:EPERM"})
"""Options that break a user namespace that the unit makes."""


@dataclass(frozen=True, slots=True)
class Hardening:
    """The result of the trials with options."""

    caps: CapSet
    """The set of capabilities in these trials."""
    lines: tuple[str, ...]
    """The options with which the unit works, all together."""
    left_out: tuple[tuple[str, str], ...] = ()
    """(option, why it was left out)."""
    trials: int = 0
    exposure: tuple[str, str] | None = None
    """The rating by ``systemd-analyze security``, before and after: ``9.6 UNSAFE``."""


@dataclass(frozen=True, slots=True)
class Proposed:
    """Options to try."""

    lines: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]


def propose(
    recordings: Sequence[Recording],
    caps: CapSet,
    present: Iterable[str],
    *,
    gains_nothing: bool | None,
) -> Proposed:
    """Propose options for a unit with this set. ``present``: settings that the unit already has;
    they stay as they are. ``gains_nothing``: it starts no set-id program; None: unknown."""
    checks = [check for recording in recordings for check in recording.checks]
    there = frozenset(present)
    lines, left_out = [], []
    for option in OPTIONS:
        if option.key in there:
            continue
        why = _contradicted(option, checks, caps, gains_nothing)
        if why is None:
            lines.append(option.line)
        else:
            left_out.append((option.line, why))
    return Proposed(tuple(lines), tuple(left_out))


def _contradicted(
    option: UnitOption, checks: Sequence[Check], caps: CapSet, gains_nothing: bool | None
) -> str | None:
    if needed := option.caps & caps:
        return f"it needs {set_text(needed)}"
    if option.key == "NoNewPrivileges" and gains_nothing is None:
        return MAY_GAIN
    if option.key == "NoNewPrivileges" and not gains_nothing:
        return GAINS
    return next(filter(None, (_contradicts(option, check, caps) for check in checks)), None)


def _contradicts(option: UnitOption, check: Check, caps: CapSet) -> str | None:
    if check.cap in caps and check.granted and check.syscall in option.calls:
        return f"{check.program or '?'} calls {check.syscall}"
    if option.line in _NAMESPACES and check.ns is Namespace.CHILD:
        return f"{check.program or '?'} makes a user namespace"
    if option.key == "RestrictSUIDSGID" and dict(check.args).get("mode", 0) & _SET_ID_BITS:
        return f"{check.program or '?'} sets a set-id bit"
    return None


def largest(
    lines: Sequence[str], works: Callable[[tuple[str, ...]], str | None]
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """The lines that work together, and the others with the reason. ``works`` tries some lines and
    returns None, or how they fail. Each harmful line costs twice the logarithm of the number of
    lines."""
    left_out: list[tuple[str, str]] = []
    known = functools.cache(works)  # if one half works, the other is not tried again

    def added(base: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
        if not more:
            return base
        why = known((*base, *more))
        if why is None:
            return (*base, *more)
        if len(more) == 1:
            left_out.append((more[0], why))
            return base
        half = len(more) // 2
        return added(added(base, more[:half]), more[half:])

    return added((), tuple(lines)), tuple(left_out)
