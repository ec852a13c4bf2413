"""A report that has seen no start of its target: it may add to a set, and takes nothing away."""

from __future__ import annotations

from capadvise.catalog import default
from capadvise.config.declared import Declared
from capadvise.config.language import Language
from capadvise.config.snippet import Snippet
from capadvise.config.snippet_from import snippet_of
from capadvise.gate.consumers import EVERY, granted
from capadvise.gate.files import Change
from capadvise.judgement.report import Report
from capadvise.model.caps import CapSet
from capadvise.model.errors import BadInput

_WAY_OUT = "record its start (run), or prove the report; emit --partial replaces the set anyway"


def only_adding(
    report: Report,
    snippet: Snippet,
    change: Change,
    language: Language,
    dropped: CapSet = frozenset(),
) -> tuple[Snippet, list[str]]:
    """The snippet with what the service holds already, and what must be said of that. ``dropped``:
    what the user does not want.

    Raises BadInput where the service holds everything: nothing could be added to that.
    """
    caps = frozenset(cap for cap, _ in snippet.caps)
    held = _held(change, language)
    if held >= EVERY:
        raise BadInput(
            "the report did not observe the target's start, so it is not enough to replace all "
            f"capabilities of {change.patched.service or 'it'}",
            hint=_WAY_OUT,
        )
    kept = held - caps - dropped
    if not kept:
        return snippet, []
    names = ", ".join(cap.short for cap in sorted(kept))
    said = f"kept although no need was seen: {names}: the target's start was not recorded"
    more = snippet_of(report, caps | kept, default(), set_name=snippet.set_name)
    return more, [f"{said}; {_WAY_OUT}"]


def _held(change: Change, language: Language) -> CapSet:
    """What the file grants the service so far; of a drop-in nobody knows."""
    if change.before is None or change.path.parent.suffix == ".d":
        return EVERY
    declared = language.read(change.before.decode())
    service = _service(declared, change.patched.service)
    return EVERY if service is None else granted(service, language.judged_by, default())


def _service(declared: tuple[Declared, ...], name: str | None) -> Declared | None:
    named = [one for one in declared if name in (None, one.service)]
    if not named and len(declared) == 1:
        return declared[0]
    return named[0] if len(named) == 1 else None
