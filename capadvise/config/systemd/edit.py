"""Patching a systemd service, or a drop-in for one: ``CapabilityBoundingSet=`` and
``AmbientCapabilities=``."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from capadvise.catalog import default
from capadvise.config.consumer import capability_number
from capadvise.config.declared import Declared, is_root
from capadvise.config.patched import Patched
from capadvise.config.snippet import Snippet, comment
from capadvise.config.systemd.file import add_up, has_plus
from capadvise.config.text_edits import NormalizedText, TextEdit, apply, newline, replace_lines
from capadvise.config.units.edits import (
    add,
    emptied,
    keep,
    replace_all,
    restrained,
    same_but,
    staying,
    without_provenance,
)
from capadvise.config.units.file import Assignment, Unit, flag_of, parse
from capadvise.judgement.hardening import OPTION_KEYS
from capadvise.judgement.harm import ambient_refused
from capadvise.model.caps import Cap, CapSet
from capadvise.model.errors import BadInput, CannotPatch
from capadvise.model.target import recorded_unit

_SERVICE = "Service"
_BOUNDING, _AMBIENT = "CapabilityBoundingSet", "AmbientCapabilities"


def patch(content: str, service: str | None, snippet: Snippet) -> Patched:
    """Let a service have what the snippet says and nothing else. ``service`` is only a name here: a
    unit file holds one. An empty text becomes a drop-in. Raises BadInput for what is no service."""
    normalized = NormalizedText.of(content)
    unit = parse(normalized.body)
    if _SERVICE not in unit.headings and set(unit.headings) - {"Unit", "Install"}:
        hint = "a quadlet file: --format quadlet" if "Container" in unit.headings else None
        raise BadInput("it has no section [Service]", hint=hint)
    new = unit
    if not _is_right(unit, _BOUNDING, frozenset(cap for cap, _ in snippet.caps)):
        new = parse(without_provenance(unit.text))
    new = parse(apply(new.text, _bounding(new, snippet)))
    new = parse(apply(new.text, _ambient(new, snippet)))
    new = parse(apply(new.text, _options(new, snippet)))
    want = frozenset(cap for cap, _ in snippet.caps)
    right = _effective(new, _BOUNDING) == want and _effective(new, _AMBIENT) in (want, frozenset())
    if not right or not same_but(unit, new, (_BOUNDING, _AMBIENT, *OPTION_KEYS)):
        raise CannotPatch("the unit is written in a form that cannot be patched")
    return Patched(normalized.restore(new.text), service or "", tuple(_notes(unit, snippet)))


def _options(unit: Unit, snippet: Snippet) -> list[TextEdit]:
    """Those that the service does not have yet; the last line on a key counts, or adds to it."""
    service = unit.all_of(_SERVICE)
    missing = []
    for line in snippet.hardening or ():
        key, _, value = line.partition("=")
        said = [item.value for item in service.values(key)]
        there = flag_of(said[-1]) is True if value == "yes" and said else value in said
        if not there:
            missing.append(line)
    return [add(unit, _SERVICE, missing)] if missing else []


def _drop_in(unit: Unit) -> bool:
    """A drop-in never says what to run; systemd adds its capabilities to the unit's, unless it
    empties them first."""
    return not any(item.key.startswith("Exec") for item in unit.assignments)


def _bounding(unit: Unit, snippet: Snippet) -> list[TextEdit]:
    want = frozenset(cap for cap, _ in snippet.caps)
    if _is_right(unit, _BOUNDING, want):
        return []
    return _set(unit, _BOUNDING, snippet, why=True)


def _ambient(unit: Unit, snippet: Snippet) -> list[TextEdit]:
    """Only they reach a service that is not root; no exec takes them from one that is."""
    held = _effective(unit, _AMBIENT)
    rootless = held or not _is_root(unit, snippet)
    want = frozenset(cap for cap, _ in snippet.caps) if rootless else frozenset()
    if _is_right(unit, _AMBIENT, want):
        return []
    if not want and not _drop_in(unit):
        said = unit.all_of(_SERVICE).all(_AMBIENT)
        return [edit for item in said for edit in replace_lines(unit.text, item.start, item.end)]
    return _set(unit, _AMBIENT, snippet if want else replace(snippet, caps=()), why=False)


def _is_root(unit: Unit, snippet: Snippet) -> bool:
    """True if the service is root; a drop-in that does not say is taken to be as the recorded
    target."""
    service = unit.all_of(_SERVICE)
    dynamic = service.last("DynamicUser")
    if dynamic and flag_of(dynamic.value):
        return False
    user = service.last("User")
    if user is None and _drop_in(unit):
        return snippet.root
    return is_root(user.value if user else None)


def _emptied(unit: Unit, key: str) -> bool:
    """True if an earlier file has no effect on the key."""
    return not _drop_in(unit) or emptied(unit, _SERVICE, key)


def _is_right(unit: Unit, key: str, want: CapSet) -> bool:
    """True if a key has the wanted value, without names that have no effect."""
    clean = not add_up(unit.all_of(_SERVICE), key).unknown
    return clean and _effective(unit, key) == want and _emptied(unit, key)


def _effective(unit: Unit, key: str) -> CapSet | None:
    """The set of the lines of a key, as systemd reads them; None for everything."""
    total = add_up(unit.all_of(_SERVICE), key)
    named = frozenset(map(Cap, total.named))
    if not total.everything:
        return named
    return frozenset(map(Cap, range(64))) - named if named else None


def _set(unit: Unit, key: str, snippet: Snippet, *, why: bool) -> list[TextEdit]:
    """Words that stay do so on their lines. New words join the only line, or get lines of their own
    beside several. With ``why`` there are comments above."""
    live = unit.all_of(_SERVICE).values(key)
    plain = [item for item in live if not item.value.startswith("~")]  # ~ takes away
    kept = staying(plain, (int(cap) for cap, _ in snippet.caps), capability_number)
    stay = set[int]().union(*kept)
    missing = [(cap, reason) for cap, reason in snippet.caps if cap not in stay]
    reset = [] if _emptied(unit, key) else [f"{key}="]
    if len(live) < 2 or len(plain) < len(live) or not snippet.caps:
        words = [*chain.from_iterable(each.values() for each in kept)]
        words += [cap.name for cap, _ in missing]
        about = comment(snippet.provenance).splitlines() if why else []
        lines = [*about, *_comments(missing, why=why), f"{key}={' '.join(words)}"]
        return _one_line(unit, key, live, [*reset, *lines] if words else lines, bool(words))
    edits = [TextEdit(live[0].start, live[0].start, newline(unit.text).join([*reset, ""]))]
    edits += keep(unit, live, kept)
    for cap, said in missing:
        lines = [*_comments([(cap, said)], why=why), f"{key}={cap.name}"]
        edits.append(add(unit, _SERVICE, lines, after=live[-1]))
    return edits


def _one_line(
    unit: Unit, key: str, live: Sequence[Assignment], lines: list[str], grants: bool
) -> list[TextEdit]:
    """All of it in the place of the first line there is."""
    if not live:
        return [_added(unit, key, lines)] if grants or not emptied(unit, _SERVICE, key) else []
    return replace_all(unit, live, lines)


def _comments(caps: Iterable[tuple[Cap, str]], *, why: bool) -> list[str]:
    texts = [comment(f"{cap.short}: {reason}") for cap, reason in caps] if why else []
    return "".join(texts).splitlines()


def _added(unit: Unit, key: str, lines: list[str]) -> TextEdit:
    """New lines behind others of the key, else behind others about capabilities."""
    service = unit.all_of(_SERVICE)
    near = service.all(key) or service.all(_BOUNDING, _AMBIENT)
    return add(unit, _SERVICE, lines, after=near[-1] if near else None)


def _notes(unit: Unit, snippet: Snippet) -> Iterator[str]:
    for item in unit.all_of(_SERVICE).assignments:
        if item.key.startswith("Exec") and has_plus(item):
            yield f"{item.key}={item.value.split()[0]}: its + gives it all capabilities"
    of_unit = recorded_unit(snippet.argv) is not None  # then its files say who it is
    if _drop_in(unit) and unit.all_of(_SERVICE).last("User") is None and not of_unit:
        far = ambient_refused((cap for cap, _ in snippet.caps), default())
        other = "needs a report of its own" if far else "also needs AmbientCapabilities="
        yield (
            f"User= is not in this file: assumed to be {snippet.user}, as recorded; a user other "
            f"than root {other}"
        )


def restrain(body: str, service: str, declared: Declared, snippet: Snippet) -> str:
    """No new privileges for the service."""
    return restrained(body, _SERVICE, declared, snippet, quadlet=False)
