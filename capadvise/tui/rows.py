"""The rows of the list of capabilities, of a report in review or of a running recording. Pure: no
widget here."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from capadvise.catalog import Catalog
from capadvise.judgement.decide import Need, Verdict
from capadvise.judgement.judge import Effect
from capadvise.judgement.risk import Risks, risk_word
from capadvise.model.caps import Cap
from capadvise.model.escape import printable
from capadvise.model.recording import Check
from capadvise.report.fit import IN_SHORT, Places
from capadvise.report.lamps import Lamp, Light, Score
from capadvise.report.words import VERDICTS
from capadvise.tui.choice import Choice, Decision
from capadvise.workflow.protocols import Now

JUST, NEEDED, DOUBTFUL, OPTIONAL = "Just checked", "Needed", "May be needed", "Optional"
DENIED = "Denied, no effect"
INCIDENTAL, NOT_CHECKED = "Incidental", "Not checked"
TITLES = (JUST, NEEDED, DOUBTFUL, OPTIONAL, DENIED, INCIDENTAL, NOT_CHECKED)
_BY_VERDICT = {
    Verdict.REQUIRED: NEEDED,
    Verdict.NEEDED: NEEDED,
    Verdict.OPTIONAL: OPTIONAL,
    Verdict.DENIED: DENIED,
    Verdict.INCIDENTAL: INCIDENTAL,
    Verdict.NOT_CHECKED: NOT_CHECKED,
}
_BRIGHT = 1.5
"""Seconds that a capability stays lit after its first check."""
_SPAN = 2.0
"""The seconds of checks from which a rate is computed."""
_PID = re.compile(r"\[\d+\](?= )")
_LONGEST = 120
"""The most characters of a name or an argument; the report holds all of it."""


class SortOrder(StrEnum):
    """How rows are sorted within their group."""

    RISK = "risk"
    TIME = "first check"
    NAME = "name"

    @property
    def following(self) -> SortOrder:
        orders = list(SortOrder)
        return orders[(orders.index(self) + 1) % len(orders)]


@dataclass(frozen=True, slots=True)
class Row:
    """One capability."""

    cap: Cap
    title: str
    light: Light
    risk: str
    """Its word."""
    level: int
    """The same as a number, to sort by; an unknown risk is the worst."""
    checks: int = 0
    incidental: int = 0
    """Those of the checks that have no effect, if others have one."""
    first: float = 1e9
    """Seconds from the start to its first check."""
    rate: float = 0.0
    """Checks per second, while it is recorded."""
    call: str = ""
    """The call that decides."""
    bright: bool = False
    decision: Decision | None = None
    """None while it is recorded."""
    place: str = ""
    """If it is needed: whether it would count in a user namespace."""


_STANDING_SIGNS = {True: "✓ ", False: "✗ ", None: "? "}


def standing_sign(score: Score) -> str:
    """The sign before a standing; none while nothing is concluded."""
    return _STANDING_SIGNS[score.good] if score.before else ""


def review_rows(
    choice: Choice, lamps: Iterable[Lamp], risks: Risks, counts: ByCap[Seen], places: Places
) -> list[Row]:
    """The rows of a review. ``places``: where needs can be met; empty if the target runs in a user
    namespace already."""
    proposal = choice.report.proposal
    known = {need.cap: need for need in proposal.needs}
    doubtful = {doubt.cap for doubt in proposal.doubts}
    rows = []
    for lamp in lamps:
        need = known.get(lamp.cap) or proposal.need(lamp.cap)
        title = DOUBTFUL if lamp.cap in doubtful else _BY_VERDICT[need.verdict]
        seen = counts.of(need)
        wanted = title in (NEEDED, OPTIONAL) and lamp.cap in places
        rows.append(
            Row(
                lamp.cap,
                title,
                lamp.light,
                risk_word(risks.get(lamp.cap)),
                int(risks.get(lamp.cap) or 9),
                seen.checks,
                seen.incidental,
                seen.first,
                call=seen.call,
                decision=choice.decision(lamp.cap),
                place=IN_SHORT[places[lamp.cap].scope] if wanted else "",
            )
        )
    return rows


@dataclass(frozen=True, slots=True)
class Seen:
    """The sum of the evidence for one capability."""

    checks: int
    incidental: int
    first: float
    call: str


_T = TypeVar("_T")


class ByCap(Generic[_T]):
    """Something made of the evidence for a capability, once for each: there can be 100,000 pieces,
    and no proof changes them."""

    def __init__(self, make: Callable[[Need], _T]) -> None:
        self._make = make
        self._made: dict[Cap, _T] = {}

    def of(self, need: Need) -> _T:
        """The result for one capability."""
        if need.cap not in self._made:
            self._made[need.cap] = self._make(need)
        return self._made[need.cap]


def seen(need: Need) -> Seen:
    """Add up the evidence of a need."""
    checks = [judged.check for judged in need.evidence]
    deciding = [judged.check for judged in need.evidence if judged.effect is Effect.NEEDED]
    total = sum(check.count for check in checks)
    needed = sum(check.count for check in deciding)
    first = min((check.first for check in deciding or checks), default=1e9)
    call = call_text((deciding or checks)[0]) if checks else ""
    return Seen(total, total - needed if deciding else 0, first, call)


class LiveRows:
    """Makes the rows of a recording, one moment after the other."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, dict[Cap, int]]] = deque()
        self._first: dict[Cap, float] = {}
        self.judged_at: dict[Cap, float] = {}
        """The second in which each capability was first needed."""

    def _row(
        self,
        now: Now,
        lamp: Lamp,
        need: Need | None,
        count: int,
        latest: str,
        rate: float,
        risks: Risks,
    ) -> Row:
        """The row of one capability, with the call that decided, else the latest."""
        title = JUST if need is None else _BY_VERDICT[need.verdict]
        if title == NEEDED:
            self.judged_at.setdefault(lamp.cap, now.seconds)
        first = self._first.setdefault(lamp.cap, now.seconds)
        call, needed, incidental = latest, count, 0
        if need is not None and need.evidence:
            judged = seen(need)
            call = judged.call
            if title == NEEDED and judged.incidental:  # later checks are not judged yet
                needed, incidental = judged.checks - judged.incidental, judged.incidental
        return Row(
            lamp.cap,
            title,
            lamp.light,
            risk_word(risks.get(lamp.cap)),
            int(risks.get(lamp.cap) or 9),
            min(needed, count),
            incidental,
            first,
            rate,
            call,
            now.seconds - first < _BRIGHT and not now.ended,
        )

    def at(self, now: Now, lamps: Iterable[Lamp], risks: Risks) -> list[Row]:
        """The rows of this moment."""
        counts = {tally.last.cap: tally.count for tally in now.tallies}
        last = {tally.last.cap: tally.last for tally in now.tallies}
        before, span = self._before(now.seconds, counts)
        needs = {need.cap: need for need in now.proposal.needs} if now.proposal else {}
        chosen = now.proposal.recommended if now.proposal else frozenset()
        rows = []
        for lamp in lamps:
            cap = lamp.cap
            if cap not in counts and cap not in chosen:
                continue
            more = counts.get(cap, 0) - before.get(cap, 0)
            rate = 0.0 if span is None or now.ended else more / span
            latest = call_text(last[cap]) if cap in last else ""
            rows.append(
                self._row(now, lamp, needs.get(cap), counts.get(cap, 0), latest, rate, risks)
            )
        return rows

    def _before(
        self, seconds: float, counts: dict[Cap, int]
    ) -> tuple[Mapping[Cap, int], float | None]:
        """The earlier counts from which a rate is computed, and how long ago they were."""
        if self._past and seconds <= self._past[-1][0]:
            return {}, None  # the recording has ended
        self._past.append((seconds, counts))
        while len(self._past) > 2 and self._past[1][0] <= seconds - _SPAN:
            self._past.popleft()
        then, before = self._past[0]
        if len(self._past) < 2:
            return {}, None
        return before, max(seconds - then, 0.5)  # one check is no rate of many a second


def call_text(check: Check) -> str:
    """``nginx[812] bind, tcp 0.0.0.0:80``, and whether it was refused."""
    text = f"{shortened(check.program) or '?'}[{check.pid}] {check.call}"
    if check.detail:
        text += f", {shortened(check.detail)}"
    return printable(text) + ("" if check.granted else ", refused")


def fitted(call: str, room: int) -> str:
    """A call, without the pid if the part before its details does not fit."""
    return call if len(call.partition(",")[0]) < room else _PID.sub("", call, count=1)


def shortened(text: str) -> str:
    """Hostile text, made harmless and not too long."""
    return printable(text[:_LONGEST]) + ("…" if len(text) > _LONGEST else "")


def short_count(number: float) -> str:
    """``950``, ``12.3k``, ``4.1M``: at most six characters."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size * (10 if unit == "k" else 1):
            return f"{number / size:.1f}{unit}"
    return f"{number:.0f}"


# ---------------------------------------------------------------------------- sorted and searched


def arranged(
    rows: Iterable[Row], order: SortOrder, wanted: Mapping[Cap, int] | None
) -> dict[str, list[Row]]:
    """The rows by group, sorted; in a search, the best match first. Empty groups are left out."""
    keys: dict[SortOrder, Callable[[Row], Any]] = {
        SortOrder.RISK: lambda row: (-row.level, row.cap),
        SortOrder.TIME: lambda row: (row.first, row.cap),
        SortOrder.NAME: lambda row: (row.cap.short,),
    }
    groups: dict[str, list[Row]] = {title: [] for title in TITLES}
    for row in sorted(rows, key=keys[order]):
        if wanted is None or row.cap in wanted:
            groups[row.title].append(row)
    if wanted is not None:
        for members in groups.values():
            members.sort(key=lambda row: wanted[row.cap])
    return {title: members for title, members in groups.items() if members}


def search(
    caps: Collection[Cap], needs: Mapping[Cap, Need], catalog: Catalog, typed: str
) -> dict[Cap, int]:
    """The capabilities that match, each with a rank, 0 the best. A word matches in the name, also
    without underscores, or at the beginning of a word of the facts; else its letters match in their
    order."""
    words = re.sub(r"\bcap_", "", typed.lower()).split()
    if not words:
        return dict.fromkeys(caps, 0)
    ranks = {}
    for cap in caps:
        each = [_rank(word, cap, needs.get(cap), catalog) for word in words]
        if None not in each:
            ranks[cap] = max(rank for rank in each if rank is not None)
    best = min(ranks.values(), default=0)
    return {cap: rank for cap, rank in ranks.items() if rank < _LETTERS or best == _LETTERS}


_LETTERS = 4


def _rank(word: str, cap: Cap, need: Need | None, catalog: Catalog) -> int | None:
    name = cap.short.lower()
    joined, plain = name.replace("_", ""), word.replace("_", "")
    if word == name or plain == joined:
        return 0
    if joined.startswith(plain):
        return 1
    if plain in joined:
        return 2
    entry = catalog.entry(cap)
    facts = (entry.summary, *entry.allows) if entry else ()
    verdict = [VERDICTS[need.verdict], need.reason] if need else [VERDICTS[Verdict.NOT_CHECKED]]
    text = " ".join((*verdict, risk_word(catalog.risk(cap)), *facts))
    if any(part.startswith(word) for part in re.findall(r"\w+", text.lower())):
        return 3
    letters = iter(joined)
    return _LETTERS if all(letter in letters for letter in plain) else None
