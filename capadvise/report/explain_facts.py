"""What follows for one report from the facts of the catalog. Pure, and shared by the text and the
screens: the uses that were seen, what is possible with them, and the remediation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from capadvise.caps import Cap, CapSet
from capadvise.catalog import Catalog
from capadvise.catalog.capabilities import Attack, Entry, Use
from capadvise.catalog.patterns import among
from capadvise.catalog.sites import asker
from capadvise.catalog.ways import EditPlace, Edits
from capadvise.dataclass import dataclass
from capadvise.decide import Need, Proposal
from capadvise.judge import Effect, Judged
from capadvise.report.risk import Remaining, risk_word


def needed_checks(need: Need) -> list[Judged]:
    """The checks that make it needed: the others are incidental."""
    return [judged for judged in need.evidence if judged.effect is Effect.USED]


def asked_by(need: Need) -> dict[str, int]:
    """How often each kernel function asked, as far as it was needed."""
    counts: dict[str, int] = {}
    for judged in needed_checks(need):
        check = judged.check
        function = next(iter(asker(check.site)), "")
        if not check.site and check.syscall:  # a retried call: only the call itself is known
            function = f"sys_{check.syscall}"
        counts[function] = counts.get(function, 0) + check.count
    return counts


def uses_seen(need: Need, entry: Entry) -> list[tuple[Use, int]]:
    """Of the many uses of a capability those that were seen, and how often; most often first."""
    counts = asked_by(need)
    seen = [(use, sum(counts[name] for name in counts if is_of(use, name))) for use in entry.uses]
    return sorted((item for item in seen if item[1]), key=lambda item: -item[1])


def is_of(use: Use, function: str) -> bool:
    """Whether a kernel function asks for this use."""
    return among(function, use.functions)


def possibilities(remains: Remaining, named: Callable[[Attack], str]) -> Iterator[tuple[str, str]]:
    """(mark, sentence): ``!`` possible there, ``?`` only under that condition, ``×`` not possible
    there; what is possible first. ``named``: an attack with its source."""
    for attack in remains.possible:
        yield "!", named(attack)
    for attack, circumstance in remains.depends:
        yield "?", f"If {circumstance}: {named(attack)}"
    for condition in remains.worse:
        risk = risk_word(condition.risk)
        yield "?", f"If {condition.when}, the risk is {risk}: {condition.reason}"
    for attack, obstacle in remains.closed:
        yield "×", f"{named(attack)} But {obstacle}."


POSSIBILITIES = "! possible there   ? only if that is true   × not possible there"
"""What the marks mean."""


@dataclass(frozen=True, slots=True)
class Way:
    """The remediation of one need, or of several that the same edits end."""

    caps: tuple[Cap, ...]
    use: str
    """What was seen and needs no capability this way."""
    do: str
    edits: Edits
    narrower: tuple[Cap, ...]
    """What is still needed this way: one of these."""
    others: tuple[str, ...]
    """Uses of the same capability that were seen, too, and that need ways of their own."""
    saves: int
    """Steps down the scale of risk, when all of the capability's uses are gone."""

    @property
    def effort(self) -> int:
        """How far away the easiest edit is; a design without an edit is furthest."""
        return min((place for place, _ in self.edits), default=len(EditPlace))


def ways_out(proposal: Proposal, caps: CapSet, catalog: Catalog) -> list[Way]:
    """Ways to do without the members of a set: those first that take away most risk, then those
    that take away a whole capability, then the easiest."""
    ways: list[Way] = []
    for cap in sorted(caps):
        entry = catalog.entry(cap)
        if entry is not None:
            for way in _ways(proposal.need(cap), entry, catalog):
                _add(ways, way)
    return sorted(ways, key=lambda w: (-w.saves, bool(w.others), -len(w.caps), w.effort))


def _add(ways: list[Way], way: Way) -> None:
    """The same edits, such as another user, often end several needs."""
    for at, known in enumerate(ways):
        if way.edits and known.edits == way.edits and not known.others and not way.others:
            caps = tuple(dict.fromkeys((*known.caps, *way.caps)))
            worst = max(known, way, key=lambda each: each.saves)
            ways[at] = replace(worst, caps=caps)
            return
    ways.append(way)


def _ways(need: Need, entry: Entry, catalog: Catalog) -> Iterator[Way]:
    caps = (entry.cap,)
    seen = [use for use, _ in uses_seen(need, entry)]
    for uses in _together(seen):
        first = uses[0]
        names = ", ".join(use.name for use in uses)
        others = tuple(use.name for use in seen if use not in uses)
        saves = entry.risk - _lowest(first.narrower, catalog)
        yield Way(caps, names, first.remediation, first.edits, first.narrower, others, saves)
    if seen:
        return
    rules = {judged.rule.id: judged.rule for judged in needed_checks(need) if judged.rule}
    for way in entry.remediation:
        sites = ("*",) if way.sites is None else way.sites
        left = tuple(rule.text for name, rule in rules.items() if not among(name, sites))
        if way.sites is None or len(left) < len(rules):
            yield Way(caps, way.need, way.do, way.edits, (), left, entry.risk)


def _together(uses: list[Use]) -> list[list[Use]]:
    """The uses in groups that one remediation ends: those that one of them covers, and those with
    the same edits."""
    groups: list[list[Use]] = []
    for use in sorted(uses, key=lambda each: -len(each.covers)):
        same = next((group for group in groups if _ends(group[0], use)), None)
        if same is None:
            groups.append([use])
        else:
            same.append(use)
    return groups


def _ends(first: Use, other: Use) -> bool:
    return other.name in first.covers or bool(first.edits and first.edits == other.edits)


def _lowest(caps: Iterable[Cap], catalog: Catalog) -> int:
    entries = (catalog.entry(cap) for cap in caps)
    return min((int(entry.risk) for entry in entries if entry), default=0)
