"""What was refused on a whole machine: whose call it was, what refused it, and whether that
matters. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Generic, TypeVar

from capadvise.catalog import Catalog, Meaning
from capadvise.catalog.signs import Sign, Signs
from capadvise.judgement.behaviour import Context
from capadvise.judgement.judge import Effect, judge
from capadvise.judgement.refusals import refusal
from capadvise.model.caps import Cap, CapSet, parse_set
from capadvise.model.recording import (
    Check,
    DeniedCheck,
    Held,
    Host,
    Recording,
    RefusedBy,
    RefusedCall,
    Told,
)

_IDS = parse_set(["SETUID", "SETGID"])
_KEEP = 0xFFFFFFFF
"""The id that changes nothing."""
KEPT = 4096
"""So many findings are remembered; those that were not seen longest are forgotten."""


_NOT_FOR_WANT_OF_PERMISSION = {
    ("epoll_ctl", "EPERM"): "a file of this kind is always ready (epoll_ctl(2))",
    ("setsid", "EPERM"): "it leads a process group already (setsid(2))",
    ("setpgid", "EPERM"): "it leads a session, or the group is in another one (setpgid(2))",
    ("setpgid", "EACCES"): "its child has made an exec already (setpgid(2))",
}
"""Errors that are no refusals."""


class OwnerKind(StrEnum):
    """What a process belongs to."""

    CONTAINER = "container"
    POD = "pod"
    UNIT = "unit"
    USER = "user"
    """A user's session, or a service of the user's own manager."""
    PROGRAM = "program"
    """None of these."""


@dataclass(frozen=True, slots=True)
class Owner:
    """What a process belongs to. Names are hostile: escape before showing them."""

    kind: OwnerKind
    name: str
    engine: str | None = None
    project: str | None = None
    """Of compose; then the name is that of the service."""
    pod: str | None = None
    """``NAMESPACE/NAME``, or its uid where nobody could say."""
    container: str | None = None
    """The id."""

    @property
    def label(self) -> str:
        """For people."""
        match self.kind:
            case OwnerKind.CONTAINER:
                made = f"compose: {self.project}" if self.project else self.engine
                return f"{self.name} ({made or 'container'})"
            case OwnerKind.POD:
                return f"{self.name} (pod {self.pod})"
            case OwnerKind.USER:
                return f"{self.name} (user)"
            case OwnerKind.PROGRAM:
                return f"{self.name} (program)"
        return self.name


@dataclass(frozen=True, slots=True)
class WatchedCall:
    """A call that was refused, as it was seen."""

    owner: Owner
    program: str
    pid: int
    uid: int
    """As the machine counts."""
    syscall: str
    about: str
    """What its arguments say."""
    denied: tuple[Check, ...]
    """The checks of it that were refused."""
    permitted: CapSet = frozenset()
    bounding: CapSet = frozenset()
    errno: str | None = None
    """As it was seen; None: as the catalog knows it."""
    entered: bool = True
    """It got past the seccomp filter."""
    told: Told | None = None
    """Who refused, as an audit record says."""
    noted: bool = False
    """It was let through, and only noted."""
    time: float | None = None
    """When, of what a log tells; in seconds since 1970."""
    went_on: bool = False
    """The program did not end with a failure soon afterwards."""

    @property
    def asks_for_limit(self) -> bool:
        """Whether it was to raise a limit: many programs try, and go on with what they have
        (setrlimit_closest() of systemd)."""
        return self.syscall in ("setrlimit", "prlimit64")

    @property
    def unexplained(self) -> bool:
        """Whether another one refused than capabilities, modes, seccomp and mounts: an audit record
        can tell who."""
        return not self.denied and self.entered and self.told is None and self.errno != "EROFS"

    def gave_up(self, cap: Cap) -> bool:
        """Whether root could have had it: an exec as root gives all of the bounding set."""
        return self.uid == 0 and cap in self.bounding


class PathPart(StrEnum):
    """Where along a path the mode of a file refused."""

    ITSELF = "itself"
    ENTRY = "entry"
    """In the directory that holds it: a file is to be made there, renamed or removed."""
    ABOVE = "above"
    """In a directory on the way to it."""


@dataclass(slots=True)
class WatchFinding:
    """One kind of refusal of one owner."""

    call: WatchedCall
    errno: str
    by: RefusedBy
    caps: tuple[Cap, ...]
    """Each of which would have let the call through, the one to be preferred first."""
    evidence: str
    hidden: str | None
    """Why it does not matter; None where it does."""
    opener: Cap | None = None
    """With which its engine's default seccomp filter would let the call through."""
    part: PathPart = PathPart.ITSELF
    count: int = 0
    number: int = 0
    """In which order they appeared, from 1."""

    @property
    def key(self) -> tuple[object, ...]:
        """What makes it another one."""
        call = self.call
        return (
            *(call.owner, call.program, call.syscall, call.uid, self.by, self.caps),
            *(self.errno, self.hidden, self.part),
        )


def judged(call: WatchedCall, catalog: Catalog, context: Context) -> WatchFinding:
    """What refused the call, and whether that matters."""
    deciding = [check for check in call.denied if _hidden(check, call, catalog, context) is None]
    hidden = None
    if call.denied and not deciding:
        hidden = _hidden(call.denied[0], call, catalog, context)
    errno = call.errno or _errno(deciding or call.denied, catalog)
    if call.noted:
        hidden = "it was only noted (complain or permissive mode)"
    elif not call.denied and call.entered and call.told is None:
        hidden = _NOT_FOR_WANT_OF_PERMISSION.get((call.syscall, errno))
    seen = RefusedCall(
        syscall=call.syscall,
        errno=errno,
        program=call.program,
        count=1,
        uid=call.uid,
        entered=call.entered,
        denied=tuple(DeniedCheck(check.cap, check.site, check.ns) for check in deciding),
        told=call.told,
    )
    who = refusal(seen, catalog, None, call.permitted)
    caps = sorted({check.cap for check in deciding}, key=lambda cap: (catalog.rank(cap), cap))
    kept = replace(call, denied=())  # what is remembered is to be small
    opener = _opener(call, catalog) if who.by is RefusedBy.SECCOMP else None
    part = _part(deciding[-1].site, catalog.signs) if deciding else PathPart.ITSELF
    return WatchFinding(kept, errno, who.by, tuple(caps), who.evidence, hidden, opener, part)


def _part(site: tuple[str, ...], signs: Signs) -> PathPart:
    """What of a path a check was about."""
    if signs.shows(Sign.PATH_ABOVE, site):
        return PathPart.ABOVE
    if signs.shows(Sign.PATH_ENTRY, site) and not signs.shows(Sign.PATH_ITSELF, site):
        return PathPart.ENTRY
    return PathPart.ITSELF


def _opener(call: WatchedCall, catalog: Catalog) -> Cap | None:
    """What the profiles of engines open a call with, if the container does not have it."""
    if call.owner.kind not in (OwnerKind.CONTAINER, OwnerKind.POD):
        return None
    profile = catalog.seccomp.get(call.owner.engine or "", catalog.seccomp["docker"])
    caps = [cap for cap, calls in profile.opens.items() if call.syscall in calls]
    if call.bounding.intersection(caps):
        return None  # it is another filter
    return min(caps, key=lambda cap: (catalog.rank(cap), cap), default=None)


def empty_context(catalog: Catalog) -> Context:
    """Of a program of which nothing else is known."""
    nothing: CapSet = frozenset()
    recording = Recording(
        *(Host("", "", 0, "", ()), Held(nothing, nothing, nothing)),
        started="",
        seconds=0,
        exit_status=None,
        checks=(),
    )
    return Context.of(recording, catalog.signs)


def _hidden(check: Check, call: WatchedCall, catalog: Catalog, context: Context) -> str | None:
    """Why a refused check did not matter; None where it did."""
    rule = catalog.sites.match(check.cap, check.site)
    if call.asks_for_limit and call.went_on:
        return "the limit stays as it is, and the program goes on"
    if check.uid and _wants_root(check):
        return "a program that is not root any more makes sure that it cannot be again"
    if rule is not None and rule.meaning is Meaning.EITHER_OR:
        asked = {other.cap for other in call.denied}
        if not asked.intersection(rule.alternatives):
            return f"{rule.text}: another capability was enough"
    judgement = judge(check, rule, context)
    if judgement.effect is Effect.INCIDENTAL or (rule and rule.meaning is Meaning.SILENT):
        lost = judgement.lost
        return f"{judgement.why}: only {lost} is lost" if lost else f"{judgement.why}: no effect"
    return None


def _wants_root(check: Check) -> bool:
    """Whether a call asks for the ids of root alone."""
    ids = {name: value for name, value in check.args if name.endswith("id")}
    return check.cap in _IDS and bool(ids) and all(value in (0, _KEEP) for value in ids.values())


def _errno(checks: tuple[Check, ...] | list[Check], catalog: Catalog) -> str:
    """The error that the call has failed with, as the catalog knows it."""
    for check in reversed(checks):
        rule = catalog.sites.match(check.cap, check.site)
        if rule is not None and rule.refused:
            return rule.refused
    return "EACCES" if checks and checks[-1].cap.short.startswith("DAC_") else "EPERM"


class Waiting:
    """Calls of which more is soon known: whether the program goes on, or who refused."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._calls: list[tuple[float, WatchedCall, bytes]] = []

    def add(self, call: WatchedCall, key: bytes, due: float) -> bool:
        """Whether there was room for it. ``key``: by which the kernel counts it."""
        room = len(self._calls) < self._most
        if room:
            self._calls.append((due, call, key))
        return room

    def tell(self, told: WatchedCall) -> None:
        """Forget what an audit record tells of: it is counted as that."""
        for number, (_, call, _) in enumerate(self._calls):
            same = (call.pid, call.errno) == (told.pid, told.errno)
            if same and call.unexplained and not told.noted:
                del self._calls[number]
                return

    @property
    def due(self) -> float | None:
        """When the first has waited long enough."""
        return min((due for due, _, _ in self._calls), default=None)

    def take(self, now: float | None) -> list[tuple[WatchedCall, bytes]]:
        """Those that have waited long enough; all, where no time is given."""
        over = [(call, key) for due, call, key in self._calls if now is None or due <= now]
        self._calls = [] if now is None else [each for each in self._calls if each[0] > now]
        return over


_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class LeastRecentlyUsed(Generic[_K, _V]):
    """A table that is bounded: the value that was not used longest makes room."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[_K, _V] = OrderedDict()

    def get(self, key: _K) -> _V | None:
        """What is kept under a key; it is used by that."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: _K, value: _V) -> None:
        """Keep it, or replace what is kept."""
        self._kept[key] = value
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def values(self) -> Iterator[_V]:
        """Those that are kept, the last used one last."""
        return iter(self._kept.values())

    def __len__(self) -> int:
        return len(self._kept)


class WatchFindings:
    """All kinds of refusals, up to a bound: those that were not seen longest make room."""

    def __init__(self, most: int = KEPT) -> None:
        self._kept: LeastRecentlyUsed[tuple[object, ...], WatchFinding] = LeastRecentlyUsed(most)
        self._numbered = 0

    def add(self, finding: WatchFinding) -> tuple[WatchFinding, bool]:
        """Count it; the one that is kept, and whether it is new."""
        known = self._kept.get(finding.key)
        if known is not None:
            return known, False
        self._numbered += 1
        finding.number = self._numbered
        self._kept.put(finding.key, finding)
        return finding, True

    def __iter__(self) -> Iterator[WatchFinding]:
        return self._kept.values()

    def __len__(self) -> int:
        return len(self._kept)
