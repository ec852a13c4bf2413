"""One service of a file, with all that its judgement needs."""

from __future__ import annotations

from dataclasses import dataclass

from capadvise.caps import CapSet
from capadvise.catalog import Catalog
from capadvise.formats.declared import Declared
from capadvise.gate.consumers import Consumer, granted
from capadvise.gate.finding import RULES, Finding, Severity


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

    def place(self, what: str = "") -> tuple[str, int]:
        """(file, line) where something was last written, else where the service begins."""
        for path, declared in reversed(self.written):
            for said, line in (*declared.lines, *declared.unresolved):
                if said == what:
                    return path, line
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
    ) -> Finding:
        """A finding at the place of ``at``, with the usual severity of its rule or another."""
        path, line = self.place(at)
        usual = RULES[rule].severity
        return Finding(
            rule, severity or usual, self.declared.service, path, line, what, why, remedy
        )
