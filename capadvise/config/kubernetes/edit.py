"""Patching a Kubernetes manifest: the ``securityContext`` of one container."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from capadvise.config.declared import Declared
from capadvise.config.kubernetes.file import forbids_escalation
from capadvise.config.kubernetes.manifests import (
    CONTAINERS,
    DEFAULT_NAMESPACE,
    NON_ROOT,
    POD_SPEC,
    ambiguous_titles,
)
from capadvise.config.patched import (
    Patched,
    all_dropped,
    as_docker_takes_it,
    chosen,
    odd,
    on_user,
    patchable,
    reasons,
)
from capadvise.config.snippet import Snippet
from capadvise.config.text_edits import NormalizedText, TextEdit, apply
from capadvise.config.yaml.changes import Document, change, change_list, merged, open_up, release
from capadvise.config.yaml.layout import Item, Listing, Tree, source
from capadvise.config.yaml.tree import (
    EMPTY,
    Alias,
    Mapping,
    Node,
    Scalar,
    Sequence,
    documents,
    entries,
    is_on,
    names,
    target,
    text,
    value,
)
from capadvise.model.errors import BadInput, CannotPatch


@dataclass(frozen=True, slots=True)
class FileContainer:
    """A container and where it stands."""

    namespace: str
    kind: str
    owner: str
    """The name of its object."""
    name: str
    qualified: bool
    """Another namespace has an object of the same kind and name."""
    root: Node
    pod: Node
    node: Node

    @property
    def service(self) -> str:
        """``[NAMESPACE/]KIND/NAME/CONTAINER``, as ``check`` calls it."""
        within = f"{self.namespace}/" if self.qualified else ""
        return f"{within}{self.kind}/{self.owner}/{self.name}"

    def is_meant(self, asked: list[str], kinds: set[str]) -> bool:
        """True if ``[[NAMESPACE/]KIND/]NAME[/CONTAINER]`` names it; the kind in any case."""
        if len(asked) > 2 and asked[1].lower() in kinds and asked[0] == self.namespace:
            asked = asked[1:]
        if len(asked) > 1 and asked[0].lower() in kinds:
            if asked[0].lower() != self.kind.lower():
                return False
            asked = asked[1:]
        return [self.owner, self.name][: len(asked)] == asked


def find(body: str, service: str | None) -> FileContainer:
    """The one that is meant. Raises BadInput where it is none or several."""
    containers = list(every(body))
    if not containers:
        kinds = {kind for root in documents(body) for kind, _ in _objects(root, None) if kind}
        has = f"it has {', '.join(sorted(kinds))}" if kinds else "not a Kubernetes manifest"
        raise BadInput(
            f"there is no container to patch: {has}", hint=f"kinds: {', '.join(POD_SPEC)}"
        )
    known = [container.service for container in containers]
    meant = known if service is None else _meant(service, containers)
    if len(set(meant)) > 1:
        asked = "choose one with --service" if service is None else f"{service!r} fits several"
        some = ", ".join(meant[:12])
        raise BadInput(f"it has {len(known)} containers: {asked}", hint=f"one of: {some}")
    name = meant[0] if meant else chosen(service, known, what="container")
    if len(meant) > 1:
        raise BadInput(f"it has {name!r} twice", hint="put each into a file of its own")
    return containers[known.index(name)]


def _meant(service: str, containers: list[FileContainer]) -> list[str]:
    """The names that fit; else those of containers that have this name themselves."""
    kinds = {each.kind.lower() for each in containers} | {kind.lower() for kind in POD_SPEC}
    exact = [each.service for each in containers if each.service == service]
    fitting = [each.service for each in containers if each.is_meant(service.split("/"), kinds)]
    own = [each.service for each in containers if each.name == service]
    return exact or fitting or own


def every(body: str) -> Iterator[FileContainer]:
    """All containers of all pods."""
    items = [
        (root, kind, item)
        for root in documents(body)
        for kind, item in _objects(root, None)
        if kind and _path(kind, item)
    ]
    names = []
    for _, kind, item in items:
        metadata = entries(entries(item).get("metadata", EMPTY))
        name = text(metadata.get("name")) or text(metadata.get("generateName")) or "?"
        names.append((kind, name, text(metadata.get("namespace")) or DEFAULT_NAMESPACE))
    shared = ambiguous_titles((f"{kind}/{name}", namespace) for kind, name, namespace in names)
    for (root, _, item), (kind, name, namespace) in zip(items, names, strict=True):
        pod = _inside(item, _path(kind, item))
        for node in _containers(pod):
            container = text(entries(node).get("name")) or "?"
            qualified = f"{kind}/{name}" in shared
            yield FileContainer(namespace, kind, name, container, qualified, root, pod, node)


def _containers(pod: Node) -> Iterator[Node]:
    for key in CONTAINERS:
        group = target(entries(pod).get(key, EMPTY))
        yield from group.items if isinstance(group, Sequence) else ()


def _objects(node: Node, implied: str | None) -> Iterator[tuple[str | None, Node]]:
    """Objects with their kinds, those in lists too; a typed list implies the kind of its items."""
    keys = entries(node)
    kind = text(keys.get("kind")) or implied
    items = target(keys["items"]) if "items" in keys else None
    if kind and kind.endswith("List") and isinstance(items, Sequence):
        for item in items.items:
            yield from _objects(item, kind.removesuffix("List") or None)
    else:
        yield kind, node


def _path(kind: str, item: Node) -> tuple[str, ...]:
    """The path to the pod in an object; empty for one without. An unknown kind (Rollout) can have a
    template as a Deployment has."""
    if kind in POD_SPEC:
        return POD_SPEC[kind]
    template = POD_SPEC["Deployment"]
    return template if "containers" in entries(_inside(item, template)) else ()


def _inside(item: Node, path: tuple[str, ...]) -> Node:
    for key in path:
        item = entries(item).get(key, EMPTY)
    return item


def patch(content: str, service: str | None, snippet: Snippet) -> Patched:
    """Let a container have what the snippet says and nothing else. Raises BadInput for what is no
    manifest and for a container that is not there, CannotPatch where more would change."""
    normalized = NormalizedText.of(content)
    container = find(normalized.body, service)
    if not isinstance(target(container.node), Mapping):
        raise BadInput(f"container {container.service!r} is not a mapping")
    doc = Document.of(normalized.body, container.root)
    wanted: dict[str, Tree] = {"drop": all_dropped(snippet)}
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
    """True if the container has what is wanted, spelled as Pod Security Admission compares it."""
    context = _context(node)
    has = entries(context.get("capabilities", EMPTY))
    for key in ("drop", "add"):
        want = wanted.get(key)
        texts = sorted(item.text for item in want.items) if isinstance(want, Listing) else []
        if sorted(names(has.get(key))) != texts:
            return False
    return not is_on(context.get("privileged"))


def _pinned(old: str, new: str, service: str) -> tuple[str, list[str]]:
    """Give other containers, whose securityContext came from the changed one, their old values;
    with a note on each. One after the other, since one can take what another was just given."""
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
    places = [
        entries(entries(place).get("securityContext", EMPTY))
        for place in (container.node, container.pod)
    ]
    said = {key: value for place in reversed(places) for key, value in place.items()}
    user = text(said.get("runAsUser"))
    other = user is None and is_on(said.get("runAsNonRoot"))
    yield from on_user(snippet, NON_ROOT if other else user, "kubernetes")


# ------------------------------------------------------------------------------ what else

_ESCALATION, _SECCOMP = "allowPrivilegeEscalation", "seccompProfile"
_PRIVILEGED = "privileged"


def restrain(body: str, service: str, declared: Declared, snippet: Snippet) -> str:
    """No escalation, the default filter, and not privileged where the file does not say so: an
    object that was made of another file stays privileged where this one says nothing."""
    container = find(body, service)
    context = entries(container.node).get("securityContext")
    wanted: dict[str, Tree] = {}
    if forbids_escalation(snippet) and not declared.no_new_privileges:
        wanted[_ESCALATION] = "false"
    pod = entries(container.pod).get("securityContext")
    if snippet.default_seccomp and not any(map(_has_filter, (context, pod))):
        wanted[_SECCOMP] = {"type": Item("RuntimeDefault")}
    if snippet.privileged and _PRIVILEGED not in dict(declared.lines):
        wanted[_PRIVILEGED] = "false"
    if not wanted:
        return body
    if not isinstance(context, Mapping):
        raise odd(f"the securityContext of {service}")
    doc = Document.of(body, container.root)
    gone = [own for key in wanted if (own := context.own(key))]
    new = apply(body, [*release(doc, context), *change(doc, context, gone, wanted)])
    before, after = (list(others(each, service, tuple(wanted))) for each in (body, new))
    if before != after:
        raise CannotPatch(f"the securityContext of {service} is used elsewhere, too")
    return new


def _has_filter(context: Node | None) -> bool:
    profile = None if context is None else entries(context).get(_SECCOMP)
    kind = None if profile is None else text(entries(profile).get("type"))
    return kind not in (None, "Unconfined") and isinstance(target(profile or EMPTY), Mapping)
