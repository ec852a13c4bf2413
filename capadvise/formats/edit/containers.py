"""Finding the container of a manifest that is to be patched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from capadvise.formats.edit.patched import chosen
from capadvise.formats.edit.yaml_values import text
from capadvise.formats.manifest_containers import CONTAINERS
from capadvise.formats.manifests import DEFAULT_NAMESPACE, ambiguous_titles
from capadvise.formats.object_names import POD_SPEC
from capadvise.formats.yaml_tree import EMPTY, Node, Sequence, documents, entries, target
from capadvise.model.errors import BadInput


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
        """Whether ``[[NAMESPACE/]KIND/]NAME[/CONTAINER]`` names it; the kind in any case."""
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
    """The names that fit; else those of containers that are called so themselves."""
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
    names = [(kind, _name(item), _namespace(item)) for _, kind, item in items]
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
    """Where an object keeps its pod; empty for one without. A kind that is not known (Rollout) can
    have a template as a Deployment has."""
    if kind in POD_SPEC:
        return POD_SPEC[kind]
    template = POD_SPEC["Deployment"]
    return template if "containers" in entries(_inside(item, template)) else ()


def _inside(item: Node, path: tuple[str, ...]) -> Node:
    for key in path:
        item = entries(item).get(key, EMPTY)
    return item


def _metadata(item: Node) -> dict[str, Node]:
    return entries(entries(item).get("metadata", EMPTY))


def _name(item: Node) -> str:
    metadata = _metadata(item)
    return text(metadata.get("name")) or text(metadata.get("generateName")) or "?"


def _namespace(item: Node) -> str:
    return text(_metadata(item).get("namespace")) or DEFAULT_NAMESPACE
