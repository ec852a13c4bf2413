"""Patching a Kubernetes manifest: the ``securityContext`` of one container."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from capadvise.formats.edit.changes import (
    Document,
    change,
    change_list,
    merged,
    open_up,
    release,
)
from capadvise.formats.edit.containers import FileContainer, every, find
from capadvise.formats.edit.layout import Item, Listing, Tree, source
from capadvise.formats.edit.patched import Patched, odd, on_user, patchable, reasons
from capadvise.formats.edit.text_edits import NormalizedText, TextEdit, apply
from capadvise.formats.edit.yaml_values import (
    as_docker_takes_it,
    is_on,
    names,
    text,
)
from capadvise.formats.manifests import (
    NON_ROOT,
)
from capadvise.formats.snippet import Snippet
from capadvise.formats.yaml_tree import (
    EMPTY,
    Alias,
    Mapping,
    Node,
    Scalar,
    Sequence,
    documents,
    entries,
    target,
    value,
)
from capadvise.model.errors import BadInput, CannotPatch


def patch(content: str, service: str | None, snippet: Snippet) -> Patched:
    """Let a container have what the snippet says and nothing else. Raises BadInput for what is no
    manifest and for a container that is not there, CannotPatch where more would change."""
    normalized = NormalizedText.of(content)
    container = find(normalized.body, service)
    if not isinstance(target(container.node), Mapping):
        raise BadInput(f"container {container.service!r} is not a mapping")
    doc = Document.of(normalized.body, container.root)
    wanted: dict[str, Tree] = {"drop": Listing((Item("ALL"),))}
    had = entries(_context(container.node).get("capabilities", EMPTY)).get("add")
    if snippet.caps or names(had):
        # Also where it is empty: a list that is only gone leaves live objects what they have.
        wanted["add"] = Listing(reasons(snippet))
    changed = apply(normalized.body, _container(doc, container.node, wanted))
    with patchable(container.service):
        changed, pinned = _pinned(normalized.body, changed, container.service)
        _verify(normalized.body, changed, container.service, wanted)
    return Patched(
        normalized.restore(changed),
        container.service,
        (*pinned, *_notes(container, snippet)),
        unprivileged=is_on(_context(container.node).get("privileged")),
    )


def _context(container: Node) -> dict[str, Node]:
    return entries(entries(container).get("securityContext", EMPTY))


# ------------------------------------------------------------------------------ changing


def _container(doc: Document, node: Node, wanted: dict[str, Tree]) -> list[TextEdit]:
    if _right(node, wanted):
        return []
    if isinstance(node, Alias):
        raise CannotPatch("the container is an alias of another", hint="write it out")
    assert isinstance(node, Mapping)
    own = node.own("securityContext")
    if own is None:
        context: dict[str, Tree] = {
            key: source(doc.text, item)
            for key, item in _context(node).items()
            if key not in ("capabilities", "privileged")
        }
        return change(doc, node, [], {"securityContext": {**context, "capabilities": wanted}})
    inner = own[1]
    if isinstance(inner, Mapping) and inner.pairs:
        return [*release(doc, inner), *_security(doc, inner, wanted)]
    new: dict[str, Tree] = {"capabilities": wanted}
    if is_on(_context(node).get("privileged")):
        new["privileged"] = "false"
    return open_up(doc, node, own, new)


def _security(doc: Document, node: Mapping, wanted: dict[str, Tree]) -> list[TextEdit]:
    """Change a securityContext that has entries."""
    edits: list[TextEdit] = []
    gone = []
    new: dict[str, Tree] = {}
    own = node.own("capabilities")
    if own is None:
        new["capabilities"] = wanted
    elif isinstance(own[1], Mapping) and own[1].pairs:
        edits += [*release(doc, own[1]), *_capabilities(doc, own[1], wanted)]
    elif isinstance(own[1], Alias):
        gone.append(own)
        new["capabilities"] = wanted
    else:
        edits += open_up(doc, node, own, wanted)
    switch = node.own("privileged")
    if is_on(entries(node).get("privileged")):
        # Said, not left out: a line that is only gone leaves live objects privileged.
        if switch and isinstance(switch[1], Scalar) and not (switch[1].anchor or switch[1].tag):
            edits.append(TextEdit(switch[1].start, switch[1].end, "false"))
        else:
            gone += [switch] if switch else []
            new["privileged"] = "false"
    return [*edits, *change(doc, node, gone, new)]


def _capabilities(doc: Document, node: Mapping, wanted: dict[str, Tree]) -> list[TextEdit]:
    """Change a capabilities mapping that has entries."""
    edits: list[TextEdit] = []
    gone = []
    new: dict[str, Tree] = {}
    for key in ("drop", "add"):
        own = node.own(key)
        want = wanted.get(key, Listing(()))
        assert isinstance(want, Listing)
        inherited = bool(names(entries(merged(node)).get(key)))
        if own and isinstance(own[1], Sequence) and own[1].items and want.items:
            edits += release(doc, own[1])
            edits += change_list(doc, own[1], want, as_docker_takes_it, exact=True)
            continue
        if own and isinstance(own[1], Sequence) and not own[1].items and not want.items:
            continue
        if own:
            gone.append(own)
        if key in wanted or inherited:
            new[key] = want
    return [*edits, *change(doc, node, gone, new)]


def _right(node: Node, wanted: dict[str, Tree]) -> bool:
    """Whether the container has what is wanted, spelled as Pod Security Admission compares it."""
    context = _context(node)
    has = entries(context.get("capabilities", EMPTY))
    for key in ("drop", "add"):
        want = wanted.get(key)
        texts = sorted(item.text for item in want.items) if isinstance(want, Listing) else []
        if sorted(names(has.get(key))) != texts:
            return False
    return not is_on(context.get("privileged"))


def _pinned(old: str, new: str, service: str) -> tuple[str, list[str]]:
    """Where other containers took their securityContext from the changed one, they get what they
    had; and a note on each. One after the other: what one is given can be what another takes."""
    notes: list[str] = []
    items = list(every(new))
    for index, was in enumerate(every(old)):
        item = items[index]
        had, has = (entries(x.node).get("securityContext") for x in (was, item))
        same = (had and value(had)) == (has and value(has))
        if item.service == service or same or not isinstance(item.node, Mapping):
            continue
        tree: Tree = "{}" if had is None else source(old, target(had))
        gone = [pair for pair in (item.node.own("securityContext"),) if pair]
        doc = Document.of(new, item.root)
        new = apply(new, change(doc, item.node, gone, {"securityContext": tree}))
        items = list(every(new))
        notes.append(f"{item.service} shared its securityContext; it keeps its old values")
    return new, notes


def _verify(old: str, new: str, service: str, wanted: dict[str, Tree]) -> None:
    """Read both texts again: nothing but what was meant may differ. Raises CannotPatch."""
    before, after = list(others(old, service)), list(others(new, service))
    if before != after:
        raise CannotPatch(
            f"{service} cannot be changed without changing another one",
            hint="write its securityContext out in the container itself",
        )
    if not _right(find(new, service).node, wanted):
        raise odd(f"{service}")


def others(
    body: str, service: str, keys: tuple[str, ...] = ("privileged", "capabilities")
) -> Iterator[Any]:
    """All that a patch of a container must leave as it is, for each document."""
    instead: dict[int, Any] = {}
    for container in every(body):
        rest = {key: value(inner) for key, inner in entries(container.node).items()}
        context = {key: value(inner) for key, inner in _context(container.node).items()}
        if container.service == service:
            context = {key: said for key, said in context.items() if key not in keys}
        instead[id(target(container.node))] = rest | {"securityContext": context}
    yield from (value(root, instead) for root in documents(body))


def _notes(container: FileContainer, snippet: Snippet) -> Iterator[str]:
    """What the owner of the manifest must know."""
    places = [
        entries(entries(place).get("securityContext", EMPTY))
        for place in (container.node, container.pod)
    ]
    said = {key: value for place in reversed(places) for key, value in place.items()}
    user = text(said.get("runAsUser"))
    yield from on_user(
        snippet, NON_ROOT if user is None and is_on(said.get("runAsNonRoot")) else user
    )
