"""Patching a systemd service, or a drop-in for one: ``CapabilityBoundingSet=`` and
``AmbientCapabilities=``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain

from capadvise.caps import Cap, CapSet
from capadvise.errors import BadInput, CannotPatch
from capadvise.formats.edit.cuts import Cut, Framed, apply, newline, replace_lines
from capadvise.formats.edit.patched import Patched
from capadvise.formats.edit.units import Entry, Unit, parse, same_but
from capadvise.formats.edit.yaml_values import is_root
from capadvise.formats.snippet import Snippet, comment

_SERVICE = "Service"
_BOUNDING, _AMBIENT = "CapabilityBoundingSet", "AmbientCapabilities"


def patch(content: str, service: str | None, snippet: Snippet) -> Patched:
    """Let a service have what the snippet says and nothing else. ``service`` is only a name here: a
    unit file holds one. An empty text becomes a drop-in. Raises BadInput for what is no service."""
    framed = Framed.of(content)
    unit = parse(framed.body)
    if _SERVICE not in unit.sections and set(unit.sections) - {"Unit", "Install"}:
        hint = "a quadlet file: --format quadlet" if "Container" in unit.sections else None
        raise BadInput("it has no section [Service]", hint=hint)
    new = parse(apply(unit.text, _bounding(unit, snippet)))
    new = parse(apply(new.text, _ambient(new, snippet)))
    want = frozenset(cap for cap, _ in snippet.caps)
    right = _effective(new, _BOUNDING) == want and _effective(new, _AMBIENT) in (want, frozenset())
    if not right or not same_but(unit, new, (_BOUNDING, _AMBIENT)):
        raise CannotPatch("the unit is written in a way that cannot be patched")
    return Patched(framed.restore(new.text), service or "", tuple(_notes(unit, snippet)))


def _drop_in(unit: Unit) -> bool:
    """A drop-in says what to run nowhere; what it says of capabilities is added to the unit's,
    unless it empties them first."""
    return not any(item.key.startswith("Exec") for item in unit.entries)


def _bounding(unit: Unit, snippet: Snippet) -> list[Cut]:
    want = frozenset(cap for cap, _ in snippet.caps)
    if _effective(unit, _BOUNDING) == want and _emptied(unit, _BOUNDING):
        return []
    return _set(unit, _BOUNDING, snippet, why=True)


def _ambient(unit: Unit, snippet: Snippet) -> list[Cut]:
    """Only they reach a service that is not root; no exec takes them from one that is."""
    held = _effective(unit, _AMBIENT)
    rootless = held or not _is_root(unit, snippet)
    want = frozenset(cap for cap, _ in snippet.caps) if rootless else frozenset()
    if held == want and _emptied(unit, _AMBIENT):
        return []
    if not want and not _drop_in(unit):
        entries = unit.all(_SERVICE, _AMBIENT)
        return [cut for item in entries for cut in replace_lines(unit.text, item.start, item.end)]
    return _set(unit, _AMBIENT, snippet if want else replace(snippet, caps=()), why=False)


def _is_root(unit: Unit, snippet: Snippet) -> bool:
    """Where a drop-in does not say, the service is taken to be as the target that was recorded."""
    if (unit.last(_SERVICE, "DynamicUser") or "no").lower() in ("1", "yes", "true", "on"):
        return False
    user = unit.last(_SERVICE, "User")
    if user is None and _drop_in(unit):
        return snippet.root
    return is_root(user)


def _emptied(unit: Unit, key: str) -> bool:
    """Whether nothing that was said before this file is left."""
    return not _drop_in(unit) or unit.emptied(_SERVICE, key)


def _effective(unit: Unit, key: str) -> CapSet | None:
    """What the lines of a key come to, as systemd reads them; None for everything."""
    whole = None if key == _BOUNDING else frozenset[Cap]()
    found: CapSet | None = whole
    for item in unit.all(_SERVICE, key):
        inverted = item.value.startswith("~")
        words = [word.removeprefix("~") for word in item.words]
        said = frozenset(cap for word in words if (cap := _cap(word)) is not None)
        everything = frozenset(map(Cap, range(64)))
        if not said or found == whole:
            found = (everything - said if said else None) if inverted else said
        elif inverted:
            found = (found or everything) - said
        else:
            found = None if found is None else found | said
    return found


def _cap(word: str) -> Cap | None:
    try:
        return Cap.parse(word)
    except ValueError:
        return None


def _set(unit: Unit, key: str, snippet: Snippet, *, why: bool) -> list[Cut]:
    """Words that stay do so on their lines. What is new joins the only line there is; beside
    several it gets lines of its own. With ``why`` there are comments above."""
    live = unit.live(_SERVICE, key)
    inverted = [item.value.startswith("~") for item in live]  # what is taken away
    seen: set[Cap] = set()
    kept = [
        [] if away else _kept(item, snippet, seen)
        for item, away in zip(live, inverted, strict=True)
    ]
    missing = [(cap, reason) for cap, reason in snippet.caps if cap not in seen]
    reset = [] if _emptied(unit, key) else [f"{key}="]
    if len(live) < 2 or any(inverted) or not snippet.caps:
        words = [*chain(*kept), *(cap.name for cap, _ in missing)]
        lines = [*_comments(missing, why=why), f"{key}={' '.join(words)}"]
        lines = [*reset, *lines] if words else lines
        if not live:
            return [_added(unit, key, lines)] if words or not unit.emptied(_SERVICE, key) else []
        cuts = replace_lines(unit.text, live[0].start, live[0].end, lines)
        for item in live[1:]:
            cuts += replace_lines(unit.text, item.start, item.end)
        return cuts
    cuts = [Cut(live[0].start, live[0].start, "".join(x + newline(unit.text) for x in reset))]
    for item, words in zip(live, kept, strict=True):
        if words != item.words:
            line = [f"{key}={' '.join(words)}"] if words else []
            cuts += [] if words else unit.reason(item)
            cuts += replace_lines(unit.text, item.start, item.end, line)
    for cap, reason in missing:
        lines = [*_comments([(cap, reason)], why=why), f"{key}={cap.name}"]
        cuts.append(unit.add(_SERVICE, lines, after=live[-1]))
    return cuts


def _kept(item: Entry, snippet: Snippet, seen: set[Cap]) -> list[str]:
    """The words of a line that stay, each capability once."""
    wanted = {cap for cap, _ in snippet.caps}
    words = []
    for word in item.words:
        cap = _cap(word)
        if cap is not None and cap in wanted and cap not in seen:
            words.append(word)
            seen.add(cap)
    return words


def _comments(caps: Iterable[tuple[Cap, str]], *, why: bool) -> list[str]:
    texts = [comment(f"{cap.short}: {reason}") for cap, reason in caps] if why else []
    return "".join(texts).splitlines()


def _added(unit: Unit, key: str, lines: list[str]) -> Cut:
    """New lines behind others of the key, else behind others about capabilities."""
    found = unit.all(_SERVICE, key) or unit.all(_SERVICE, _BOUNDING, _AMBIENT)
    return unit.add(_SERVICE, lines, after=found[-1] if found else None)


def _notes(unit: Unit, snippet: Snippet) -> Iterator[str]:
    for item in unit.entries:
        prefix = item.value[: len(item.value) - len(item.value.lstrip("@-:+!|"))]
        if item.section == _SERVICE and item.key.startswith("Exec") and "+" in prefix:
            yield f"{item.key}={item.value.split()[0]}: the + gives it all capabilities"
    if _drop_in(unit) and unit.last(_SERVICE, "User") is None:
        yield (
            "the User= of the unit itself is not in this file: taken to be the one recorded, "
            f"{snippet.user}; one that is not root also needs these as AmbientCapabilities="
        )
