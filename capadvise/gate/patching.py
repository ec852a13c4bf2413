"""Plan a patch of the user's own file, with a view to the other files of the service. Every change
of such a file is planned here: by ``emit --into``, ``check --fix`` and the screens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from capadvise.catalog import default
from capadvise.config.consumer import EVERY, granted
from capadvise.config.declared import Declared
from capadvise.config.language import Language
from capadvise.config.patched import Patched
from capadvise.config.snippet import Snippet
from capadvise.config.snippet_from import snippet_of
from capadvise.gate.files import Change, plan
from capadvise.judgement.conclusion import ADDS_ONLY, standing_of
from capadvise.judgement.report import Report
from capadvise.model.caps import CapSet
from capadvise.model.errors import BadInput
from capadvise.model.escape import printable
from capadvise.report.privileged import other_powers


@dataclass(frozen=True, slots=True)
class Patching:
    """A planned patch; making one writes nothing."""

    change: Change
    language: Language
    snippet: Snippet
    """The lines that the patch puts into the file."""
    notes: tuple[str, ...] = ()
    """Facts that the owner of the file must know, one sentence each."""
    recorded: tuple[str, ...] = ()
    """The command that was recorded: podman-compose reads a file otherwise than docker compose."""


def patching(
    path: Path,
    language: Language,
    service: str | None,
    snippet: Snippet,
    report: Report,
    *,
    replaces: bool = False,
    dropped: CapSet = frozenset(),
    joined: Sequence[tuple[str, Declared]] = (),
) -> Patching:
    """Plan a patch. ``replaces``: even a report that saw only a part takes capabilities away;
    ``dropped``: the capabilities that the user removed by hand; ``joined``: the service in the
    compose files that were named together with this one. Raises as ``plan`` and ``_only_adding``
    do."""
    change, first = plan(path, language, service, snippet), snippet
    notes: list[str] = []
    standing, doubt = standing_of(report)
    if standing in ADDS_ONLY and not replaces:
        why = doubt or standing.words
        snippet, notes = _only_adding(report, snippet, change, language, why, dropped)
    name = change.patched.service
    others = _others(joined, language.declared_beside(path, name, report.target))
    if any(one.no_new_privileges for _, one in others):  # compose refuses what is said twice
        snippet = replace(snippet, no_new_privileges=False)
    if snippet is not first:
        change = plan(path, language, service, snippet, change)
    notes += _on_others(change, others, snippet)
    if change.patched.unprivileged:
        caps = frozenset(cap for cap, _ in snippet.caps)
        notes += other_powers(report, default(), caps, language)
    notes += [*change.patched.notes, *snippet.notes]
    return Patching(change, language, snippet, tuple(notes), report.target.argv)


def _others(*said: Sequence[tuple[str, Declared]]) -> list[tuple[str, Declared]]:
    """The other files, each once, whatever path names it."""
    by_file = {Path(name).resolve(): (name, one) for each in said for name, one in each}
    return list(by_file.values())


def _on_others(
    change: Change, others: list[tuple[str, Declared]], snippet: Snippet
) -> Iterator[str]:
    patched, wanted = change.patched, {cap.short for cap, _ in snippet.caps}
    if patched.dependents and not change.empty:
        yield f"{extending(patched)} change too"
    for name, one in others:
        beyond = sorted({each.upper().removeprefix("CAP_") for each in one.add} - wanted)
        given = ["privileged: true"] * bool(one.privileged) + beyond
        if given:
            yield (
                f"{printable(name)} gives {one.service} {printable(', '.join(given))}, and docker "
                "compose joins these files: patch that one, too"
            )


def extending(patched: Patched) -> str:
    """``child extends web: its capabilities``, the start of a sentence."""
    names = ", ".join(map(printable, patched.dependents))
    several = len(patched.dependents) > 1
    verb, whose = ("extend", "their") if several else ("extends", "its")
    return f"{names} {verb} {patched.service}: {whose} capabilities"


# -------------------------------------------------- what is kept of a service

_WAY_OUT = "record a whole run, or prove the report; emit --partial replaces the set anyway"


def _only_adding(
    report: Report,
    snippet: Snippet,
    change: Change,
    language: Language,
    why: str,
    dropped: CapSet = frozenset(),
) -> tuple[Snippet, list[str]]:
    """Add to the snippet what the service already holds; return it with notes. A report that saw
    only a part may add to a set, and takes nothing away but ``dropped``, which the user does not
    want. ``why``: what it did not see.

    Raises BadInput if the service holds every capability: nothing can be added to that.
    """
    caps = frozenset(cap for cap, _ in snippet.caps)
    held = _held(change, language)
    if held >= EVERY:
        raise BadInput(
            f"the report is not enough to replace all capabilities of "
            f"{change.patched.service or 'it'}: {printable(why)}",
            hint=_WAY_OUT,
        )
    kept = held - caps - dropped
    if not kept:
        return snippet, []
    names = ", ".join(cap.short for cap in sorted(kept))
    said = f"kept although no need was seen: {names}: {printable(why)}"
    more = snippet_of(report, caps | kept, default(), set_name=snippet.set_name)
    return more, [f"{said}; {_WAY_OUT}"]


def _held(change: Change, language: Language) -> CapSet:
    """The set that the file grants the service so far; every capability for a drop-in, since the
    unit's own file is not known here."""
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
