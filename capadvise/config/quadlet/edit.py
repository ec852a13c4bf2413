"""Patching a quadlet ``.container`` file, or a drop-in for one: ``DropCapability=``,
``AddCapability=`` and what ``PodmanArgs=`` says of capabilities."""

import re
from collections.abc import Iterator

from capadvise.config.declared import Declared
from capadvise.config.patched import Patched, as_docker_takes_it
from capadvise.config.run import flags
from capadvise.config.snippet import Snippet, comment
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
from capadvise.config.units.file import Unit, parse, split, words
from capadvise.model.errors import BadInput, CannotPatch

_CONTAINER = "Container"
_DROP, _ADD, _ARGS = "DropCapability", "AddCapability", "PodmanArgs"
_PRIVILEGED = re.compile(r"""(?<!\S)(["']?)--privileged(=(?!false\b)\w+)?\1(?!\S)[ \t]*""")
_FLAGS = re.compile(
    r"""(?<!\S)(?:(["'])--cap-(?:add|drop)=[^\s"']*\1"""
    r"""|(["']?)--cap-(?:add|drop)\2(?:=|[ \t]+)(["']?)[^\s"']*\3)(?!\S)[ \t]*"""
)


def _new_lines(snippet: Snippet, known: set[str]) -> Iterator[str]:
    for cap, why in snippet.caps:
        if cap.short not in known:
            yield from comment(f"{cap.short}: {why}").splitlines()
            yield f"{_ADD}={cap.name}"


def _is_as_wanted(unit: Unit, snippet: Snippet) -> bool:
    want = {cap.short for cap, _ in snippet.caps}
    added = list(_names(unit, _ADD))
    remaining = words(unit.all_of(_CONTAINER).values(_ARGS), "c")
    args = flags.declared([word for word, _ in remaining], "podman", 0)
    return (
        set(added) == want
        and len(added) == len(want)
        and list(_names(unit, _DROP)) == ["ALL"]
        and not (args.add or args.drop or args.privileged)
    )


def patch(content: str, service: str | None, snippet: Snippet) -> Patched:
    """Let a container have what the snippet says and nothing else. ``service`` is only a name here:
    a file holds one. An empty text becomes a drop-in. Raises BadInput for what is no such file."""
    normalized = NormalizedText.of(content)
    unit = _parse(normalized.body)
    if _CONTAINER not in unit.headings and unit.headings:
        hint = ".kube: patch its manifest" if "Kube" in unit.headings else None
        raise BadInput("it has no section [Container]", hint=hint)
    said = unit.all_of(_CONTAINER).all(_ARGS)
    privileged = any(_PRIVILEGED.search(item.value) for item in said)
    new = unit
    if not _is_as_wanted(unit, snippet):
        new = _parse(without_provenance(unit.text))
    new = _parse(apply(new.text, _args(new)))
    new = _parse(apply(new.text, _drop(new, snippet)))
    new = _parse(apply(new.text, _add(new, snippet)))
    if not _is_as_wanted(new, snippet) or not same_but(unit, new, (_DROP, _ADD, _ARGS)):
        raise CannotPatch("the unit is written in a form that cannot be patched")
    return Patched(
        normalized.restore(new.text), service or "", tuple(_notes(unit)), unprivileged=privileged
    )


def _parse(text: str) -> Unit:
    return parse(text, quadlet=True)


def _drop_in(unit: Unit) -> bool:
    return not unit.all_of(_CONTAINER).all("Image", "Rootfs")


def _names(unit: Unit, key: str) -> Iterator[str | None]:
    for item in unit.all_of(_CONTAINER).values(key):
        yield from map(as_docker_takes_it, split(item.value, item.line, "keep"))


def _drop(unit: Unit, snippet: Snippet) -> list[TextEdit]:
    """One line that drops all. It alone needs no reset: more drops than all are not possible."""
    container = unit.all_of(_CONTAINER)
    live = container.values(_DROP)
    if list(_names(unit, _DROP)) == ["ALL"]:
        return []
    lines = [*comment(snippet.provenance).splitlines(), f"{_DROP}=all"]
    if not live:
        taken_back, added = container.all(_DROP), container.all(_ADD)
        if added and not taken_back:
            text = newline(unit.text).join([*lines, ""])
            return [TextEdit(added[0].start, added[0].start, text)]
        return [add(unit, _CONTAINER, lines, after=taken_back[-1] if taken_back else None)]
    return replace_all(unit, live, lines)


def _add(unit: Unit, snippet: Snippet) -> list[TextEdit]:
    """Words that stay do so on their lines; each new one gets a line of its own, with why."""
    container = unit.all_of(_CONTAINER)
    live = container.values(_ADD)
    wanted = (cap.short for cap, _ in snippet.caps)
    kept = staying(live, wanted, as_docker_takes_it, "keep")
    edits = keep(unit, live, kept, "keep")
    stay = [item for item, words_kept in zip(live, kept, strict=True) if words_kept]
    reset = _drop_in(unit) and not emptied(unit, _CONTAINER, _ADD)
    if reset and live:
        edits.insert(0, TextEdit(live[0].start, live[0].start, f"{_ADD}={newline(unit.text)}"))
    lines = [f"{_ADD}="] if reset and not live else []
    lines += _new_lines(snippet, {name for words_kept in kept for name in words_kept})
    if lines:
        others = container.all(_ADD) or container.all(_DROP)
        edits.append(add(unit, _CONTAINER, lines, after=(stay or live or others)[-1]))
    return edits


def _args(unit: Unit) -> list[TextEdit]:
    """PodmanArgs= without what would give more; a line that says nothing else goes."""
    edits: list[TextEdit] = []
    for item in unit.all_of(_CONTAINER).all(_ARGS):
        raw = unit.text[item.start : item.end]
        changed = _FLAGS.sub("", _PRIVILEGED.sub("", raw.replace("=", "= ", 1)))
        if changed == raw.replace("=", "= ", 1):
            continue
        changed = changed.replace("= ", "=", 1).rstrip(" \t")
        if not changed.partition("=")[2].replace("\\", "").strip():
            edits += replace_lines(unit.text, item.start, item.end)
        else:
            edits.append(TextEdit(item.start, item.end, changed))
    return edits


def _notes(unit: Unit) -> Iterator[str]:
    if _drop_in(unit):
        yield "PodmanArgs= of the unit itself is not in this file and was not considered"


def restrain(body: str, service: str, declared: Declared, snippet: Snippet) -> str:
    """No new privileges for the container."""
    return restrained(body, _CONTAINER, declared, snippet, quadlet=True)
