"""Patching a task definition: the capabilities of one container."""

from __future__ import annotations

from typing import Any

from capadvise.config import engine
from capadvise.config.declared import Declared
from capadvise.config.ecs.file import FARGATE, NO_GAIN, ON_FARGATE, on_fargate
from capadvise.config.patched import (
    Patched,
    as_docker_takes_it,
    chosen,
    odd,
    on_user,
    patchable,
    reasons,
)
from capadvise.config.snippet import Snippet
from capadvise.config.text_edits import NormalizedText, TextEdit, apply
from capadvise.config.yaml.changes import Document, change, open_up, walk
from capadvise.config.yaml.layout import Item, Listing, Tree
from capadvise.config.yaml.tree import (
    EMPTY,
    Alias,
    Mapping,
    Node,
    Sequence,
    documents,
    entries,
    names,
    same,
    value,
)
from capadvise.config.yaml.values import is_on, text
from capadvise.model.errors import BadInput, CannotPatch

_BY_NAME = "drop by name what is not in the set, in place of ALL"
_OPTIONS = "dockerSecurityOptions"


def patch(content: str, service: str | None, snippet: Snippet) -> Patched:
    """Let a container have what the snippet says and nothing else. Raises BadInput for a container
    that is not there, CannotPatch for a text that uses what only YAML has."""
    normalized = NormalizedText.of(content)
    root, container, name = find(normalized.body, service)
    doc, keys = Document.of(normalized.body, root), entries(container)
    wanted = {"drop": Listing((Item("ALL"),)), "add": Listing(reasons(snippet))}
    for item in wanted["add"].items:
        if _on_fargate(root) and item.text not in ON_FARGATE:
            raise CannotPatch(f"{FARGATE}, and the set has {item.text}", hint=_BY_NAME)
    has = entries(entries(keys.get("linuxParameters", EMPTY)).get("capabilities", EMPTY))
    right = all(
        same(has.get(key), frozenset(item.text for item in want.items), as_docker_takes_it)
        for key, want in wanted.items()
    )
    edits = [] if right else _set(doc, container, ("linuxParameters", "capabilities"), {**wanted})
    privileged = is_on(keys.get("privileged"))
    if privileged:
        switch = keys["privileged"]
        edits.append(TextEdit(switch.start, switch.end, "false"))
    changed = apply(normalized.body, edits)
    with patchable(f"container {name!r}"):
        _verify(normalized.body, changed, name, ("linuxParameters", "privileged"))
    notes = tuple(on_user(snippet, text(keys.get("user"))))
    return Patched(normalized.restore(changed), name, notes, unprivileged=privileged)


def find(body: str, service: str | None) -> tuple[Node, Mapping, str]:
    """The document that a container stands in, the container, and its name."""
    places = [
        (root, node, text(entries(node).get("name")) or "?")
        for root in documents(body)
        for task in (root, entries(root).get("taskDefinition", EMPTY))
        for group in (entries(task).get("containerDefinitions", EMPTY),)
        for node in (group.items if isinstance(group, Sequence) else ())
    ]
    name = chosen(service, [name for _, _, name in places], what="container")
    root, node, _ = next(place for place in places if place[2] == name)
    if any(isinstance(each, Alias) or each.anchor or each.tag for each in walk(root)):
        raise CannotPatch("it has aliases, anchors or tags", hint="write it as JSON has it")
    if not isinstance(node, Mapping):
        raise BadInput(f"container {name!r} is not a mapping")
    return root, node, name


def _on_fargate(root: Node) -> bool:
    return any(on_fargate(entries(node)) for node in (root, *entries(root).values()))


def _set(doc: Document, node: Mapping, path: tuple[str, ...], tree: Tree) -> list[TextEdit]:
    """Put something at a path of keys, of which the last ones need not be there."""
    own = node.own(path[0])
    if own and path[1:] and isinstance(own[1], Mapping) and own[1].pairs:
        return _set(doc, own[1], path[1:], tree)
    for key in reversed(path[1:]):
        tree = {key: tree}
    if own and isinstance(tree, dict):
        return open_up(doc, node, own, tree)
    return change(doc, node, [own] if own else [], {path[0]: tree})


def _verify(old: str, new: str, name: str, keys: tuple[str, ...]) -> None:
    """Read both texts again: nothing but what was meant may differ. Raises CannotPatch."""
    if _others(old, name, keys) != _others(new, name, keys):
        raise odd(f"container {name!r}")


def _others(body: str, name: str, keys: tuple[str, ...]) -> list[Any]:
    """All that a change of some keys of a container must leave as it is."""
    _, container, _ = find(body, name)
    said = {key: value(node) for key, node in entries(container).items() if key not in keys}
    linux = entries(entries(container).get("linuxParameters", EMPTY))
    more = {key: value(node) for key, node in linux.items() if key != "capabilities"}
    return [value(root, {id(container): (said, more)}) for root in documents(body)]


def restrain(body: str, service: str, declared: Declared, snippet: Snippet) -> str:
    """No new privileges for the container."""
    if declared.no_new_privileges or not engine.no_new_privileges(snippet):
        return body
    root, container, name = find(body, service)
    if _on_fargate(root):
        raise CannotPatch(f"Fargate does not take {_OPTIONS}")
    said = names(entries(container).get(_OPTIONS))
    want = Listing((*map(Item, said), Item(NO_GAIN)))
    new = apply(body, _set(Document.of(body, root), container, (_OPTIONS,), want))
    _verify(body, new, name, (_OPTIONS,))
    return new
