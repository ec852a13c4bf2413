"""A set in the user's own file, seen with what else configures the service. Whatever changes such a
file plans it here: ``emit --into``, ``check --fix`` and the screens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from capadvise.catalog import default
from capadvise.config.declared import Declared
from capadvise.config.language import Language
from capadvise.config.patched import Patched
from capadvise.config.snippet import Snippet
from capadvise.gate.adding import only_adding
from capadvise.gate.files import Change, plan
from capadvise.judgement.report import Report
from capadvise.model.caps import CapSet
from capadvise.model.escape import printable
from capadvise.report.privileged import other_powers


@dataclass(frozen=True, slots=True)
class Patching:
    """What would be written; nothing is by making one."""

    change: Change
    language: Language
    snippet: Snippet
    """What is in it."""
    notes: tuple[str, ...] = ()
    """What its owner must know, one sentence each."""
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
    """What a patch would do. ``replaces``: takes away, too, what a report that saw no start did not
    see; ``dropped``: what the user takes away by hand; ``joined``: what compose files that were
    named together with this one say of the service. Raises as ``plan`` and ``only_adding``."""
    change, first = plan(path, language, service, snippet), snippet
    notes: list[str] = []
    if report.partial and not replaces:
        snippet, notes = only_adding(report, snippet, change, language, dropped)
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
    """Each file once, by whatever path it was named."""
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
    """``child extends web: its capabilities``, of which something follows."""
    names = ", ".join(map(printable, patched.dependents))
    several = len(patched.dependents) > 1
    verb, whose = ("extend", "their") if several else ("extends", "its")
    return f"{names} {verb} {patched.service}: {whose} capabilities"
