"""Patching a quadlet ``.container`` file, or a drop-in for one: ``DropCapability=``,
``AddCapability=`` and what ``PodmanArgs=`` says of capabilities."""

from __future__ import annotations

import re
from collections.abc import Iterator

from capadvise.errors import BadInput, CannotPatch
from capadvise.formats import flags
from capadvise.formats.edit.cuts import Cut, Framed, apply, newline, replace_lines
from capadvise.formats.edit.patched import Patched
from capadvise.formats.edit.units import Entry, Unit, parse, same_but
from capadvise.formats.edit.yaml_values import as_docker_takes_it
from capadvise.formats.snippet import Snippet, comment
from capadvise.formats.unit import Assignment
from capadvise.formats.unit import words as split

_CONTAINER = "Container"
_DROP, _ADD, _ARGS = "DropCapability", "AddCapability", "PodmanArgs"
_PRIVILEGED = re.compile(r"""(?<!\S)(["']?)--privileged(=(?!false\b)\w+)?\1(?!\S)[ \t]*""")
_FLAGS = re.compile(
    r"""(?<!\S)(?:(["'])--cap-(?:add|drop)=[^\s"']*\1"""
    r"""|(["']?)--cap-(?:add|drop)\2(?:=|[ \t]+)(["']?)[^\s"']*\3)(?!\S)[ \t]*"""
)


def patch(content: str, service: str | None, snippet: Snippet) -> Patched:
    """Let a container have what the snippet says and nothing else. ``service`` is only a name here:
    a file holds one. An empty text becomes a drop-in. Raises BadInput for what is no such file."""
    framed = Framed.of(content)
    unit = parse(framed.body)
    if _CONTAINER not in unit.sections and unit.sections:
        hint = ".kube: patch its manifest" if "Kube" in unit.sections else None
        raise BadInput("it has no section [Container]", hint=hint)
    privileged = any(_PRIVILEGED.search(item.value) for item in unit.all(_CONTAINER, _ARGS))
    new = parse(apply(unit.text, _args(unit)))
    new = parse(apply(new.text, _drop(new)))
    new = parse(apply(new.text, _add(new, snippet)))
    want = {cap.short for cap, _ in snippet.caps}
    added, dropped = (list(_names(new, key)) for key in (_ADD, _DROP))
    right = set(added) == want and len(added) == len(want) and dropped == ["ALL"]
    said = [Assignment(_ARGS, item.value, 0) for item in new.all(_CONTAINER, _ARGS)]
    args = flags.declared([word for word, _ in split(said)], "podman", 0)
    if (
        not right
        or args.add
        or args.drop
        or args.privileged
        or not same_but(unit, new, (_DROP, _ADD, _ARGS))
    ):
        raise CannotPatch("the unit is written in a way that cannot be patched")
    return Patched(
        framed.restore(new.text), service or "", tuple(_notes(unit)), unprivileged=privileged
    )


def _drop_in(unit: Unit) -> bool:
    return not unit.all(_CONTAINER, "Image", "Rootfs")


def _names(unit: Unit, key: str) -> Iterator[str | None]:
    for item in unit.live(_CONTAINER, key):
        yield from map(as_docker_takes_it, item.words)


def _drop(unit: Unit) -> list[Cut]:
    """One line that drops all. It alone needs no reset: more drops than all are not possible."""
    live = unit.live(_CONTAINER, _DROP)
    if list(_names(unit, _DROP)) == ["ALL"]:
        return []
    line = f"{_DROP}=all"
    if not live:
        taken_back, added = unit.all(_CONTAINER, _DROP), unit.all(_CONTAINER, _ADD)
        if added and not taken_back:
            return [Cut(added[0].start, added[0].start, line + newline(unit.text))]
        return [unit.add(_CONTAINER, [line], after=taken_back[-1] if taken_back else None)]
    cuts = replace_lines(unit.text, live[0].start, live[0].end, [line])
    for item in live[1:]:
        cuts += replace_lines(unit.text, item.start, item.end)
    return cuts


def _add(unit: Unit, snippet: Snippet) -> list[Cut]:
    """Words that stay do so on their lines; each new one gets a line of its own, with why."""
    wanted = {cap.short for cap, _ in snippet.caps}
    seen: set[str] = set()
    cuts: list[Cut] = []
    live = unit.live(_CONTAINER, _ADD)
    last: Entry | None = None
    for item in live:
        kept = []
        for word in item.words:
            name = as_docker_takes_it(word)
            if name in wanted and name not in seen:
                kept.append(word)
                seen.add(name)
        last = item if kept else last
        if kept != item.words:
            line = [f"{_ADD}={' '.join(kept)}"] if kept else []
            cuts += [] if kept else unit.reason(item)
            cuts += replace_lines(unit.text, item.start, item.end, line)
    lines: list[str] = []
    if _drop_in(unit) and not unit.emptied(_CONTAINER, _ADD):
        if live:
            cuts.insert(0, Cut(live[0].start, live[0].start, f"{_ADD}={newline(unit.text)}"))
        else:
            lines = [f"{_ADD}="]
    for cap, reason in snippet.caps:
        if cap.short not in seen:
            lines += [*comment(f"{cap.short}: {reason}").splitlines(), f"{_ADD}={cap.name}"]
    if lines:
        others = unit.all(_CONTAINER, _ADD) or unit.all(_CONTAINER, _DROP)
        after = last or (live or others)[-1]
        cuts.append(unit.add(_CONTAINER, lines, after=after))
    return cuts


def _args(unit: Unit) -> list[Cut]:
    """PodmanArgs= without what would give more; a line that says nothing else goes."""
    cuts: list[Cut] = []
    for item in unit.all(_CONTAINER, _ARGS):
        raw = unit.text[item.start : item.end]
        changed = _FLAGS.sub("", _PRIVILEGED.sub("", raw.replace("=", "= ", 1)))
        if changed == raw.replace("=", "= ", 1):
            continue
        changed = changed.replace("= ", "=", 1).rstrip(" \t")
        if not changed.partition("=")[2].replace("\\", "").strip():
            cuts += replace_lines(unit.text, item.start, item.end)
        else:
            cuts.append(Cut(item.start, item.end, changed))
    return cuts


def _notes(unit: Unit) -> Iterator[str]:
    if _drop_in(unit):
        yield "what PodmanArgs= of the unit itself says is not in this file"
