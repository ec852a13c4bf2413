"""One service of a file: what its file grants it, where it runs, and the places of its settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from capadvise.catalog import Catalog, default
from capadvise.catalog.circumstances import Circumstance, Known
from capadvise.config.consumer import Consumer, Winner
from capadvise.config.declared import Declared, Exposure, may_be_root
from capadvise.config.granted import defaults, granted
from capadvise.gate.finding import RULES, Finding, Severity
from capadvise.model.caps import Cap, CapSet

_BY_EXPOSURE = {
    Circumstance(circumstance): Exposure(exposure)
    for circumstance, exposure in default().host.lists["circumstances"].items()
}
_FILTERS = (Circumstance.UNFILTERED, Circumstance.UNCONFINED)


def circumstances_of(declared: Declared, consumer: Consumer) -> Known:
    """The place where a service runs, in the words of the catalog, as ``explain`` uses them.
    A circumstance is left out if the file does not tell whether it holds."""
    host_user = not declared.exposes(Exposure.OWN_USERS)
    if consumer.on_host:
        return {
            Circumstance.HOST_USER: host_user,
            Circumstance.HOST_PROCESSES: True,
            Circumstance.HOST_NETWORK: not declared.exposes(Exposure.OWN_NETWORK),
            Circumstance.HOST_IPC: not declared.exposes(Exposure.OWN_IPC),
        }
    circumstances: dict[Circumstance, bool] = {Circumstance.HOST_USER: host_user}
    for circumstance, exposure in _BY_EXPOSURE.items():
        if declared.exposes(exposure):
            circumstances[circumstance] = True
        elif circumstance not in _FILTERS or consumer.filters:
            circumstances[circumstance] = False
    return circumstances


@dataclass(frozen=True, slots=True)
class Service:
    """One service and the consumer of its file."""

    declared: Declared
    """The declaration as the engine takes it, with variables and ``extends`` resolved if needed."""
    written: tuple[tuple[str, Declared], ...]
    """(file, declaration there), for places; later files override earlier ones."""
    consumer: Consumer
    catalog: Catalog
    granted: CapSet
    """The bounding set that it is started with."""
    needed: CapSet = frozenset()
    """The set that its report recommends; empty without a report."""

    @classmethod
    def of(
        cls,
        declared: Declared,
        written: tuple[tuple[str, Declared], ...],
        consumer: Consumer,
        catalog: Catalog,
        needed: CapSet = frozenset(),
    ) -> Service:
        """A service with the set that the consumer grants it."""
        given = granted(declared, consumer, catalog)
        return cls(declared, written, consumer, catalog, given, needed)

    @property
    def uid(self) -> str:
        """The user, without group."""
        return (self.declared.user or "root").partition(":")[0]

    @property
    def bounded_only(self) -> bool:
        """True if its user gets no added capability: additions only bound what can be gained."""
        return self.consumer.bounds_only and not may_be_root(self.declared.user)

    @property
    def usual(self) -> CapSet:
        """The default set of its engine; docker's for units and bundles."""
        return defaults(self.consumer.runtime or "docker", self.catalog)

    def beaten(self) -> set[Cap | str | None]:
        """The additions that a drop takes back or makes impossible."""
        if self.consumer.winner is Winner.ADD:
            return set()
        return {self.consumer.parse(name) for name in self.declared.drop}

    def added(self) -> Iterator[tuple[str, Cap]]:
        """Yield (name as written, capability) of each addition that takes effect, each name
        once."""
        beaten = self.beaten()
        withheld = {name for name, _ in self.declared.withheld}
        for name in dict.fromkeys((*self.declared.add, *(self.declared.ambient or ()))):
            cap = self.consumer.parse(name)
            if isinstance(cap, Cap) and cap not in beaten and cap.short not in withheld:
                yield name, cap

    def place(self, what: str = "", at: int = 0) -> tuple[str, int]:
        """(file, line) of the last mention of ``what``, or of the service's first line. ``at``: the
        line to prefer if several lines mention it."""
        for path, declared in reversed(self.written):
            exposed = ((item.what, item.line) for item in declared.exposed)
            lists = (
                *(declared.lines, declared.unresolved, declared.unjudged, declared.variables),
                exposed,
            )
            places = [line for said, line in chain.from_iterable(lists) if said == what]
            if places:
                return path, at if at in places else places[0]
        path, declared = self.written[0]
        return path, declared.line

    def says(
        self, rule: str, at: str, *, severity: Severity | None = None, **values: str
    ) -> Finding:
        """A finding whose fact, consequence and remedy are those of ``gate-findings``. A rule with
        several has a further word there."""
        said = self.catalog.texts["gate-findings"][rule].split(" | ")
        what, why, remedy = (line.format(**values) for line in said)
        return self.finding(rule.split()[0], at, what, why, remedy, severity=severity)

    def finding(
        self,
        rule: str,
        at: str,
        what: str,
        why: str,
        remedy: str,
        *,
        severity: Severity | None = None,
        line: int = 0,
        since: str = "",
    ) -> Finding:
        """A finding at the place of ``at``, with the usual severity of its rule or another."""
        path, line = self.place(at, line)
        usual = RULES[rule].severity
        place = (self.declared.service, path, line)
        return Finding(*(rule, severity or usual, *place, what, why, remedy), since=since, at=at)
