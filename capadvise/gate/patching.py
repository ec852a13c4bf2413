"""Plan a patch of the user's own file, with a view to the other files of the service. Every change
of such a file is planned here: by ``emit --into``, ``check --fix`` and the screens."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from capadvise.catalog import default
from capadvise.config.declared import Declared, may_be_root
from capadvise.config.granted import EVERY, granted
from capadvise.config.language import Language
from capadvise.config.patched import Patched
from capadvise.config.snippet import Snippet
from capadvise.config.snippet_from import snippet_of
from capadvise.gate.files import Change, plan
from capadvise.gate.installed import UNIT_PATH, unit_file
from capadvise.judgement.conclusion import ADDS_ONLY, standing_of
from capadvise.judgement.harm import ambient_refused
from capadvise.judgement.identity import differs, other_user
from capadvise.judgement.report import Report
from capadvise.model import input_file
from capadvise.model.caps import CapSet
from capadvise.model.errors import BadInput, CannotPatch
from capadvise.model.escape import printable
from capadvise.model.wording import set_text
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
    other_program: bool = False,
) -> Patching:
    """Plan a patch. ``replaces``: even a report that saw only a part takes capabilities away;
    ``dropped``: the capabilities that the user removed by hand; ``joined``: the service in the
    compose files that were named together with this one; ``other_program``: the file may run
    another program than the recorded one. Raises as ``plan``, ``_check_same`` and ``_only_adding``
    do."""
    change, first = plan(path, language, service, snippet), snippet
    notes = list(_check_same(report, snippet, change, language, other_program=other_program))
    standing, doubt = standing_of(report)
    if standing in ADDS_ONLY and not replaces:
        why = doubt or standing.words
        snippet, kept = _only_adding(report, snippet, change, language, why, dropped)
        notes += kept
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


# -------------------------------------------------- the recorded program


def _check_same(
    report: Report, snippet: Snippet, change: Change, language: Language, *, other_program: bool
) -> Iterator[str]:
    """Notes on what differs between the recorded target and the service.

    Raises CannotPatch for another program, unless that is meant, and for a unit of another user
    whom the set would make root.
    """
    declared = _declared(change, language)
    if declared is None:
        return
    on_host = language.judged_by.on_host
    unit = change.path.parent.name.removesuffix(".d") if _is_drop_in(change) else change.path.name
    other = differs(
        report,
        default().known_index,
        command=declared.command,
        image=declared.image,
        unit=unit if on_host else "",
    )
    if other and not other_program:
        raise CannotPatch(
            f"{change.path}: {other}",
            hint="record that program; if the set is meant for it: emit --into FILE "
            "--other-program",
        )
    user = other_user(report, declared.user)
    if user and on_host and snippet.root and not may_be_root(declared.user):
        far = ambient_refused((cap for cap, _ in snippet.caps), default())
        if far:
            raise CannotPatch(
                f"{change.path}: {user}, whom {set_text(far)} in AmbientCapabilities= would make "
                "root",
                hint=f"record it as that user: capadvise run --user {declared.user} -- …",
            )
    yield from (f"{said}: the set may not fit" for said in (other, user) if said)


def _is_drop_in(change: Change) -> bool:
    return change.path.parent.suffix == ".d"


def _declared(change: Change, language: Language) -> Declared | None:
    """The service as its file declares it; a drop-in's unit, if its file is beside it, or on this
    machine. A drop-in alone says neither what it runs nor as whom."""
    texts = [change.before.decode()] if change.before is not None else []
    path = change.path
    if _is_drop_in(change) and language.drop_ins:
        name = path.parent.name.removesuffix(".d")
        beside, known = path.parent.with_suffix(""), str(path.parent.parent) in UNIT_PATH
        own = str(beside) if beside.is_file() else unit_file(name, UNIT_PATH) if known else None
        if own is None:
            return Declared("") if language.judged_by.on_host else None
        texts.insert(0, input_file.text(own))
        (declared,) = language.read_together(texts, own)
        return declared
    return _service(language.read(texts[0]), change.patched.service) if texts else None


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
    said = f"kept although no need was seen: {set_text(kept)}: {printable(why)}"
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
