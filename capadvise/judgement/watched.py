"""Judges the refusals of a whole machine: the owner of the call, what refused it, and its
importance. Pure."""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Generic, TypeVar

from capadvise.catalog import Catalog, Meaning
from capadvise.catalog.signs import Sign, Signs
from capadvise.judgement.behaviour import Context
from capadvise.judgement.judge import Effect, judge
from capadvise.judgement.refusals import TEXTS, refusal
from capadvise.model.caps import Cap, CapSet, parse_set
from capadvise.model.recording import (
    CapableFile,
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
"""The number of findings that are remembered; those that were not seen longest are forgotten."""


_NOT_FOR_WANT_OF_PERMISSION = {(call, code): why for call, code, why in TEXTS["not refused"]}
"""Errors that are not refusals."""


class OwnerKind(StrEnum):
    """The kind of owner of a process."""

    CONTAINER = "container"
    POD = "pod"
    UNIT = "unit"
    USER = "user"
    """A user's session, or a service of the user's own manager."""
    PROGRAM = "program"
    """None of these."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of a process. Names are hostile: escape before showing them."""

    kind: OwnerKind
    name: str
    engine: str | None = None
    project: str | None = None
    """The project of compose; then the name is that of the service."""
    pod: str | None = None
    """``NAMESPACE/NAME``, or its uid if the name is unknown."""
    container: str | None = None
    """Its id."""

    @property
    def label(self) -> str:
        """A name for people."""
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
    """A refused call, as it was seen."""

    owner: Owner
    program: str
    pid: int
    uid: int
    """The user id, as the machine counts."""
    syscall: str
    about: str
    """Its arguments, in words."""
    denied: tuple[Check, ...]
    """Its refused checks."""
    permitted: CapSet = frozenset()
    bounding: CapSet = frozenset()
    errno: str | None = None
    """The error that was seen; None: the catalog knows it."""
    entered: bool = True
    """It got past the seccomp filter."""
    told: Told | None = None
    """The refusing mechanism, according to an audit record."""
    noted: bool = False
    """The call was permitted, and only logged."""
    time: float | None = None
    """The time in a log; in seconds since 1970."""
    went_on: bool = False
    """The program did not end with a failure soon afterwards."""
    files: tuple[CapableFile, ...] = ()
    """The program file that it may not execute, if its file capabilities keep it from that."""

    @property
    def asks_for_limit(self) -> bool:
        """True if it was to raise a limit: many programs try, and go on with what they have
        (setrlimit_closest() of systemd)."""
        return self.syscall in ("setrlimit", "prlimit64")

    @property
    def unexplained(self) -> bool:
        """True if neither capabilities, modes, seccomp nor mounts explain it: an audit record can
        tell."""
        return not self.denied and self.entered and self.told is None and self.errno != "EROFS"

    @property
    def lacked(self) -> CapSet:
        """The capabilities that it lacks to execute the file."""
        return frozenset[Cap]().union(*(file.caps for file in self.files)) - self.bounding

    def gave_up(self, cap: Cap) -> bool:
        """True if root could have had it: an exec as root gives all of the bounding set."""
        return self.uid == 0 and cap in self.bounding


class PathPart(StrEnum):
    """The part of a path whose mode refused."""

    ITSELF = "itself"
    ENTRY = "entry"
    """The directory that holds it: a file is to be made there, renamed or removed."""
    ABOVE = "above"
    """A directory on the way to it."""


@dataclass(slots=True)
class WatchFinding:
    """One kind of refusal of one owner."""

    call: WatchedCall
    errno: str
    by: RefusedBy
    caps: tuple[Cap, ...]
    """Each of them would have let the call through; the preferred one comes first."""
    evidence: str
    hidden: str | None
    """The reason why it does not matter; None if it does."""
    opener: Cap | None = None
    """The capability with which its engine's default seccomp filter would let the call through."""
    part: PathPart = PathPart.ITSELF
    count: int = 0
    number: int = 0
    """Its number in the order of appearance, from 1."""

    @property
    def key(self) -> tuple[object, ...]:
        """Two findings are the same if their keys are."""
        call = self.call
        return (
            *(call.owner, call.program, call.syscall, call.uid, self.by, self.caps),
            *(self.errno, self.hidden, self.part),
        )


def judged(call: WatchedCall, catalog: Catalog, context: Context) -> WatchFinding:
    """Judge a refused call: the refusing mechanism, and its importance."""
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
    who = refusal(seen, catalog, None, call.permitted, call.files)
    wanted = call.lacked | {check.cap for check in deciding}
    caps = sorted(wanted, key=lambda cap: (catalog.rank(cap), cap))
    kept = replace(call, denied=())  # the remembered value should be small
    opener = _opener(call, catalog) if who.by is RefusedBy.SECCOMP else None
    part = _part(deciding[-1].site, catalog.signs) if deciding else PathPart.ITSELF
    return WatchFinding(kept, errno, who.by, tuple(caps), who.evidence, hidden, opener, part)


def _part(site: tuple[str, ...], signs: Signs) -> PathPart:
    if signs.shows(Sign.PATH_ABOVE, site):
        return PathPart.ABOVE
    if signs.shows(Sign.PATH_ENTRY, site) and not signs.shows(Sign.PATH_ITSELF, site):
        return PathPart.ENTRY
    return PathPart.ITSELF


def _opener(call: WatchedCall, catalog: Catalog) -> Cap | None:
    """The capability for which profiles of engines open a call, if the container does not have
    it."""
    if call.owner.kind not in (OwnerKind.CONTAINER, OwnerKind.POD):
        return None
    profile = catalog.seccomp.get(call.owner.engine or "", catalog.seccomp["docker"])
    caps = [cap for cap, calls in profile.opens.items() if call.syscall in calls]
    if call.bounding.intersection(caps):
        return None  # it is another filter
    return min(caps, key=lambda cap: (catalog.rank(cap), cap), default=None)


def empty_context(catalog: Catalog) -> Context:
    """The context of a program about which nothing else is known."""
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
    """The reason why a refused check did not matter; None if it did."""
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
    """True if a call only sets the ids of root."""
    ids = {name: value for name, value in check.args if name.endswith("id")}
    return check.cap in _IDS and bool(ids) and all(value in (0, _KEEP) for value in ids.values())


def _errno(checks: tuple[Check, ...] | list[Check], catalog: Catalog) -> str:
    for check in reversed(checks):
        rule = catalog.sites.match(check.cap, check.site)
        if rule is not None and rule.refused:
            return rule.refused
    return "EACCES" if checks and checks[-1].cap.short.startswith("DAC_") else "EPERM"


class Waiting:
    """Calls about which more will be known soon: if the program goes on, or what refused."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._calls: list[tuple[float, WatchedCall, bytes]] = []

    def add(self, call: WatchedCall, key: bytes, due: float) -> bool:
        """Keep a call; false if there is no room. ``key``: the kernel counts it by this."""
        room = len(self._calls) < self._most
        if room:
            self._calls.append((due, call, key))
        return room

    def forget(self, told: WatchedCall) -> None:
        """Forget the call of an audit record, which is counted instead."""
        for number, (_, call, _) in enumerate(self._calls):
            same = (call.pid, call.errno) == (told.pid, told.errno)
            if same and call.unexplained and not told.noted:
                del self._calls[number]
                return

    @property
    def due(self) -> float | None:
        """The time when the first has waited long enough."""
        return min((due for due, _, _ in self._calls), default=None)

    def take(self, now: float | None) -> list[tuple[WatchedCall, bytes]]:
        """Take the calls that have waited long enough; all, if no time is given."""
        over = [(call, key) for due, call, key in self._calls if now is None or due <= now]
        self._calls = [] if now is None else [each for each in self._calls if each[0] > now]
        return over


_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class LeastRecentlyUsed(Generic[_K, _V]):
    """A bounded table: the value that was not used longest makes room."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[_K, _V] = OrderedDict()

    def get(self, key: _K) -> _V | None:
        """The value of a key, which counts as used now."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: _K, value: _V) -> None:
        self._kept[key] = value
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def values(self) -> Iterator[_V]:
        """The values, the last used one last."""
        return iter(self._kept.values())

    def __len__(self) -> int:
        return len(self._kept)


class WatchFindings:
    """All kinds of refusals, up to a bound: those that were not seen longest make room."""

    def __init__(self, most: int = KEPT) -> None:
        self._kept: LeastRecentlyUsed[tuple[object, ...], WatchFinding] = LeastRecentlyUsed(most)
        self._numbered = 0

    def add(self, finding: WatchFinding) -> tuple[WatchFinding, bool]:
        """Count a finding; return the kept one, and whether it is new."""
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
