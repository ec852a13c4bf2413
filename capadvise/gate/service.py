"""One service of a file, with all that its judgement needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from capadvise.catalog import Catalog
from capadvise.config.consumer import Consumer, Winner
from capadvise.config.declared import Declared, may_be_root
from capadvise.gate.consumers import defaults, granted
from capadvise.gate.finding import RULES, Finding, Severity
from capadvise.model.caps import Cap, CapSet


@dataclass(frozen=True, slots=True)
class Service:
    """One service and who reads its file."""

    declared: Declared
    """As the engine takes it: variables and what it extends filled in, if that was needed."""
    written: tuple[tuple[str, Declared], ...]
    """(file, as written there), for places; later files override earlier ones."""
    consumer: Consumer
    catalog: Catalog
    granted: CapSet
    """The bounding set that it is started with."""
    needed: CapSet = frozenset()
    """What its report recommends; empty without a report."""

    @classmethod
    def of(
        cls,
        declared: Declared,
        written: tuple[tuple[str, Declared], ...],
        consumer: Consumer,
        catalog: Catalog,
        needed: CapSet = frozenset(),
    ) -> Service:
        """With what the consumer makes of the declaration."""
        given = granted(declared, consumer, catalog)
        return cls(declared, written, consumer, catalog, given, needed)

    @property
    def uid(self) -> str:
        """The user, without group."""
        return (self.declared.user or "root").partition(":")[0]

    @property
    def bounded_only(self) -> bool:
        """Whether it starts as a user for whom additions only bound what can be gained."""
        return self.consumer.bounds_only and not may_be_root(self.declared.user)

    @property
    def usual(self) -> CapSet:
        """What an engine grants where nothing is said; for units and bundles, what docker does."""
        return defaults(self.consumer.runtime or "docker", self.catalog)

    def beaten(self) -> set[Cap | str | None]:
        """Additions that a drop takes back or makes impossible."""
        if self.consumer.winner is Winner.ADD:
            return set()
        return {self.consumer.parse(name) for name in self.declared.drop}

    def added(self) -> Iterator[tuple[str, Cap]]:
        """(as written, capability) of all that is added and granted, each name once."""
        beaten = self.beaten()
        withheld = {name for name, _ in self.declared.withheld}
        for name in dict.fromkeys((*self.declared.add, *(self.declared.ambient or ()))):
            cap = self.consumer.parse(name)
            if isinstance(cap, Cap) and cap not in beaten and cap.short not in withheld:
                yield name, cap

    def place(self, what: str = "", at: int = 0) -> tuple[str, int]:
        """(file, line) where something was last written, else where the service begins. ``at``: the
        line that is meant, where the same stands in several."""
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
    ) -> Finding:
        """A finding at the place of ``at``, with the usual severity of its rule or another."""
        path, line = self.place(at, line)
        usual = RULES[rule].severity
        return Finding(
            rule, severity or usual, self.declared.service, path, line, what, why, remedy
        )
