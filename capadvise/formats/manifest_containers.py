"""Containers in the objects of a manifest: where everybody has them, and wherever something looks
like one (Rollout, Workflow, Task, Prometheus)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from capadvise.formats.yaml_reader import Documents, Entries, line, optional_text
from capadvise.formats.yaml_tree import Mapping, Node, Scalar, Sequence

CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_LISTS = (*CONTAINERS, "steps", "sidecars", "sidecarContainers", "extraContainers")
_SINGLE = ("container", "script", "stepTemplate")
"""Where kinds of their own keep containers."""
_OPEN = ("hostNetwork", "hostPID", "hostIPC")
_RESTRAINTS = ("privileged", "capabilities", "allowPrivilegeEscalation", "procMount")
"""What only the securityContext of a container has."""


@dataclass(frozen=True, slots=True)
class FoundContainer:
    """A container, what it says of its rights, and the specification of its pod."""

    service: str
    """``KIND/NAME/CONTAINER``."""
    line: int
    keys: Entries
    context: Entries
    """Its ``securityContext``."""
    pod: Entries
    annotations: Entries
    """Of its pod."""


def _is_on(node: Node | None) -> bool:
    return (
        isinstance(node, Scalar) and not node.style and node.value.lower() in ("true", "yes", "on")
    )


def _named(keys: Entries) -> str | None:
    """The name that a mapping has: that of a template is its container's, too."""
    name = keys.get("name")
    return name.value if isinstance(name, Scalar) and not name.is_null else None


class ContainerFinder:
    """Collects the containers of one object, each node once."""

    def __init__(self, documents: Documents, owner: str) -> None:
        self.documents = documents
        self.owner = owner
        self.annotations: Entries = {}
        self.containers: list[FoundContainer] = []
        self.taken: set[int] = set()
        """Containers and securityContexts that were found."""
        self.walked: set[int] = set()

    def take_pod(self, spec: Entries) -> None:
        """The containers of a pod, where everybody has them."""
        for group in CONTAINERS:
            for node in self.documents.items(spec.get(group), group):
                self.documents.mapping(node, f"an item of {group}")
                self.take(node, spec, "?")

    def take(self, node: Node, pod: Entries, called: str) -> None:
        keys = self.documents.mapping(node, "a container")
        context = keys.get("securityContext")
        self.taken.add(id(node))
        if context is not None:
            self.taken.add(id(context))
        self.add(node, keys, self.documents.mapping(context, "securityContext"), pod, called)

    def add(self, node: Node, keys: Entries, context: Entries, pod: Entries, called: str) -> None:
        name = keys.get("name")
        said = optional_text(name, "name") if isinstance(name, Scalar) else None
        service = f"{self.owner}/{said or called}"
        self.containers.append(
            FoundContainer(service, line(node), keys, context, pod, self.annotations)
        )

    def _take_restrained(self, node: Node, keys: Entries, pod: Entries, called: str) -> None:
        """What has a securityContext of a container, or is one."""
        context = keys.get("securityContext")
        if self.restrains(context) and id(context) not in self.taken:
            self.take(node, pod, called)
        elif self.restrains(node):
            self.taken.add(id(node))
            self.add(node, {}, keys, pod, called)

    def _take_open(self, node: Node, keys: Entries, called: str) -> None:
        """What shares something of the host with containers that are not written out: a kind of
        its own makes them."""
        if id(node) in self.taken or any(any(self.listed(key, keys[key])) for key in keys):
            return
        if any(map(_is_on, (keys.get(key) for key in _OPEN))) or self.has_host_path(keys):
            self.taken.add(id(node))
            self.add(node, keys, {}, keys, called)

    def has_host_path(self, keys: Entries) -> bool:
        """Whether a list of volumes has a folder of the host in it."""
        volumes = keys.get("volumes")
        items = self.documents.items(volumes, "volumes") if isinstance(volumes, Sequence) else []
        mappings = [item for item in items if isinstance(item, Mapping)]
        return any("hostPath" in self.documents.mapping(item, "a volume") for item in mappings)

    def search(self, node: Node, pod: Entries, called: str) -> None:
        """What looks like a container, anywhere below a node. Its pod is what stands around it."""
        if id(node) in self.walked:
            return
        self.walked.add(id(node))
        if isinstance(node, Sequence):
            for item in self.documents.items(node, "a list"):
                self.search(item, pod, called)
        if not isinstance(node, Mapping):
            return
        keys = self.documents.mapping(node, "a mapping")
        for key, value in keys.items():
            for item in self.listed(key, value):
                if id(item) not in self.taken:
                    self.take(item, keys, _named(keys) or key)
        if id(node) not in self.taken:
            self._take_restrained(node, keys, pod, called)
            self._take_open(node, keys, called)
        around = keys if pod.keys().isdisjoint(CONTAINERS) else pod
        for key, value in keys.items():
            self.search(value, around, key)

    def listed(self, key: str, value: Node) -> Iterator[Node]:
        """The containers under a key: a list of them, a mapping by name, or one."""
        if key in _SINGLE and isinstance(value, Mapping):
            inner: list[Node] = [value]
        elif key in _LISTS and isinstance(value, Sequence):
            inner = self.documents.items(value, key)
        elif key in _LISTS and isinstance(value, Mapping):
            inner = list(self.documents.mapping(value, key).values())
        else:
            return
        for item in inner:
            if isinstance(item, Mapping):
                keys = self.documents.mapping(item, f"an item of {key}")
                if isinstance(keys.get("image"), Scalar) or "securityContext" in keys:
                    yield item

    def restrains(self, node: Node | None) -> bool:
        """Whether a mapping says what only the securityContext of a container says."""
        if not isinstance(node, Mapping):
            return False
        keys = self.documents.mapping(node, "a mapping")
        values = {key: keys[key] for key in _RESTRAINTS if key in keys}
        return isinstance(values.get("capabilities"), Mapping) or any(
            isinstance(value, Scalar) and not value.is_null for value in values.values()
        )
