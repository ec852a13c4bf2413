"""Kubernetes manifests: the pods of objects, and containers wherever they are.

Unknown kinds can hold containers too (Rollout, Workflow, Task, Prometheus): containers are
recognised by their keys.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from capadvise.catalog import default
from capadvise.config.host_paths import Volume
from capadvise.config.yaml.reader import (
    Dialect,
    Documents,
    Entries,
    WrongType,
    any_text,
    is_null,
    line,
    optional_text,
    text_at,
    wrong,
)
from capadvise.config.yaml.tree import Mapping, Node, Scalar, Sequence, ambiguous
from capadvise.model.errors import BadInput

CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_LISTS = (*CONTAINERS, "steps", "sidecars", "sidecarContainers", "extraContainers")
_SINGLE = ("container", "script", "stepTemplate")
"""Keys under which other kinds keep one container."""
_OPEN = ("hostNetwork", "hostPID", "hostIPC")
_RESTRAINTS = ("privileged", "capabilities", "allowPrivilegeEscalation", "procMount")
"""Keys that only the securityContext of a container has."""
_OF_POD = (*_OPEN, "shareProcessNamespace", "hostUsers", "volumes", "os")
HOST = ("hostPath", "hostDisk")
"""Keys of a file or folder of the node: of a volume, and of KubeVirt's disks."""
_TEXT = r"(?i)(?:patch|manifest|podspec|podtemplate|valuescontent)$"
"""Keys whose text some kinds make a part of a pod, or an object of its own."""
_IN_TEXT = re.compile(
    r"""(?im)(?:^[ \t-]*+|[{,]\s*+)["']?(?:(?:hostPath|hostDisk|procMount|capabilities)["']?\s*+:"""
    r"""|(?:privileged|hostNetwork|hostPID|hostIPC)["']?\s*+:\s*+["']?(?:true|yes|on)\b)"""
)
"""Found in a text under another key if it is a part of a pod that gets something."""
_MAX_TEXTS = 50


@dataclass(frozen=True, slots=True)
class ManifestContainer:
    """A container, what it says of its rights, and the specification of its pod."""

    service: str
    """``KIND/NAME/CONTAINER``."""
    line: int
    keys: Entries
    context: Entries
    """Its ``securityContext``."""
    pod: Entries
    annotations: Entries
    """Its pod's."""
    whole: bool = True
    """False: not a container, only something that a container gets."""
    unjudged: tuple[tuple[str, int], ...] = ()
    """(sentence, line) of what could not be judged."""


def _is_on(node: Node | None) -> bool:
    return (
        isinstance(node, Scalar) and not node.style and node.value.lower() in ("true", "yes", "on")
    )


class ContainerFinder:
    """Collects the containers of one object, each node once."""

    def __init__(self, documents: Documents, owner: str, passed: Collection[str] = ()) -> None:
        self.documents = documents
        self.owner = owner
        self.passed = passed
        """Keys below which nothing is a container."""
        self.annotations: Entries = {}
        self.containers: list[ManifestContainer] = []
        self.taken: set[int] = set()
        """Containers and securityContexts that were found."""
        self.walked: set[int] = set()
        self.volumes: set[int] = set()
        """The volumes of pods that were found."""
        self.texts = 0

    def take_pod(self, spec: Entries) -> None:
        """Take the containers of a pod in their usual places."""
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
        volumes = pod.get("volumes")
        if isinstance(volumes, Sequence) and id(volumes) not in self.volumes:
            self.volumes.update(map(id, (volumes, *self.documents.items(volumes, "volumes"))))
        self.containers.append(
            ManifestContainer(service, line(node), keys, context, pod, self.annotations)
        )

    def leave(self, node: Node, called: str, what: str, pod: Entries | None = None) -> None:
        """Take something that is no container: what is not judged, or a folder of the node."""
        said = ((what, line(node)),) if what else ()
        service, held = f"{self.owner}/{called}", {} if pod is None else pod
        self.containers.append(
            ManifestContainer(service, line(node), held, {}, held, {}, whole=False, unjudged=said)
        )

    def _take_restrained(self, node: Node, keys: Entries, pod: Entries, called: str) -> None:
        """Take a mapping that has the securityContext of a container, or is one. It can have
        settings of a pod beside these."""
        context = keys.get("securityContext")
        pod = pod | {key: keys[key] for key in _OF_POD if key in keys}
        if self.restrains(context) and id(context) not in self.taken:
            self.take(node, pod, called)
        elif self.restrains(node):
            self.taken.add(id(node))
            self.add(node, keys, keys, pod, called)

    def _take_open(self, node: Node, keys: Entries, called: str) -> None:
        """Take a mapping that shares something of the host with containers that are not written
        out: its kind makes them."""
        shares = any(map(_is_on, (keys.get(key) for key in _OPEN)))
        mounts = self.has_host_path(keys)
        if any(any(self.listed(key, keys[key])) for key in keys):  # these have it from their pod
            shares, mounts = False, mounts and "volumeMounts" in keys
        if id(node) not in self.taken and (shares or mounts):
            self.taken.add(id(node))
            self.add(node, keys, {}, keys, called)

    def _take_folder(self, node: Mapping, keys: Entries, called: str) -> None:
        """Take a folder of the node that stands in no list of a pod's volumes."""
        if id(node) not in self.volumes and any(key in keys for key in HOST):
            volumes = Sequence(node.start, node.end, node.line, None, None, (node,), True)
            self.leave(node, any_text(keys.get("name")) or called, "", {"volumes": volumes})

    def _take_text(self, node: Scalar, key: str) -> None:
        """Search a text that its kind makes a part of a pod."""
        self.texts += 1
        try:
            roots = self.documents.inside(node) if self.texts <= _MAX_TEXTS else ()
            for root in roots:
                self.search(root, {}, key)
            known = bool(roots) and all(map(self._is_known, roots))
        except BadInput:
            known = False
        if not known:
            self.leave(node, key, f"the text of {key}")

    def _is_text(self, node: Scalar, key: str) -> bool:
        value = node.value
        if re.search(_TEXT, key):
            return bool(value)
        long = ("\n" in value or "{" in value) and not key.endswith("last-applied-configuration")
        return long and _IN_TEXT.search(value) is not None

    def _is_known(self, root: Node) -> bool:
        """False for a list of changes (RFC 6902) of which one is not known to be harmless."""
        if not isinstance(root, Sequence):
            return True
        items = self.documents.items(root, "changes")
        changes = [self.documents.mapping(item, "a change") for item in items]
        return all(
            any_text(each.get("op")) in ("add", "replace", "test")
            and _HARMLESS_CHANGE.fullmatch(any_text(each.get("path")) or "")
            for each in changes
        )

    def has_host_path(self, keys: Entries) -> bool:
        """True if a list of volumes has a folder of the host in it."""
        volumes = keys.get("volumes")
        items = self.documents.items(volumes, "volumes") if isinstance(volumes, Sequence) else []
        mappings = [item for item in items if isinstance(item, Mapping)]
        every = (self.documents.mapping(item, "a volume") for item in mappings)
        return any(key in item for item in every for key in HOST)

    def search(self, node: Node, pod: Entries, called: str) -> None:
        """Take everything below a node that looks like a container. Its pod is the mapping around
        it."""
        if id(node) in self.walked:
            return
        self.walked.add(id(node))
        if isinstance(node, Scalar) and self._is_text(node, called):
            self._take_text(node, called)
        if isinstance(node, Sequence):
            for item in self.documents.items(node, "a list"):
                self.search(item, pod, called)
        if not isinstance(node, Mapping):
            return
        keys: Entries = {}
        try:
            keys = self.documents.mapping(node, "a mapping")
            self._take_in(node, keys, pod, called)
        except WrongType as error:
            if self.owner.partition("/")[0] in POD_SPEC:
                raise
            self.leave(node, called, str(error))
        around = keys if pod.keys().isdisjoint(CONTAINERS) else pod
        for key, value in keys.items():
            if key not in self.passed:
                self.search(value, around, key)

    def _take_in(self, node: Mapping, keys: Entries, pod: Entries, called: str) -> None:
        for key, value in keys.items():
            for item in self.listed(key, value):
                if id(item) not in self.taken:
                    self.take(item, keys, any_text(keys.get("name")) or key)
            if key == "adminAccess" and _is_on(value):
                self.leave(value, called, "adminAccess, which gives devices that others use")
        if id(node) not in self.taken:
            self._take_restrained(node, keys, pod, called)
            self._take_open(node, keys, called)
        self._take_folder(node, keys, called)

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
                shown = "securityContext" in keys or "volumeMounts" in keys
                if shown or isinstance(keys.get("image"), Scalar):
                    yield item

    def restrains(self, node: Node | None) -> bool:
        """True if a mapping has keys that only the securityContext of a container has."""
        if not isinstance(node, Mapping):
            return False
        keys = self.documents.mapping(node, "a mapping")
        values = {key: keys[key] for key in _RESTRAINTS if key in keys}
        return isinstance(values.get("capabilities"), Mapping) or any(
            isinstance(value, Scalar) and not value.is_null for value in values.values()
        )


DEFAULT_NAMESPACE = "default"
NON_ROOT = "nonroot"
"""The user of a container with ``runAsNonRoot``, whose image names it."""
_POLICIES = ("constraints.gatekeeper.sh",)
"""Groups of kinds that only forbid."""
_PATTERNS = {"kyverno.io": ("validate", "validations", "openAPIV3Schema")}
"""Group → keys below which something only looks like containers."""
DIALECT = Dialect(merge_wins=True, names=default().names["kubernetes-keys"])
_HARMLESS_CHANGE = re.compile(
    r"/spec/replicas|/metadata/labels/[^/]+|(/[^/]+)*/certSANs/[^/]+"
    r"|(/[^/]+)*/(initC|c)ontainers/\d+/(image|imagePullPolicy|resources)(/[^/]+)*"
)
"""Paths of changes that give a container nothing."""
_SEPARATOR = r"---[ \t\r]*(?:[ \t]#.*)?"


@dataclass(frozen=True, slots=True)
class ManifestPod:
    """The specification of a pod, and what holds it (a template, with its metadata)."""

    holder: Entries
    spec: Entries


@dataclass(frozen=True, slots=True)
class ManifestObject:
    """An object of a manifest, with all containers in it."""

    kind: str
    name: str
    namespace: str
    line: int
    keys: Entries
    pod: ManifestPod | None
    containers: tuple[ManifestContainer, ...]

    @property
    def title(self) -> str:
        """``Deployment/web``."""
        return f"{self.kind}/{self.name}"

    def within_namespace(self) -> ManifestObject:
        """With the namespace before all names: another one has an object of the same name."""
        containers = tuple(
            replace(each, service=f"{self.namespace}/{each.service}") for each in self.containers
        )
        return replace(self, kind=f"{self.namespace}/{self.kind}", containers=containers)


def check_separators(source: str) -> None:
    """kubectl splits a file at ``---`` lines before anything reads it as YAML: one with something
    after it begins a document for YAML, and none for kubectl. Raises BadInput."""
    begun = False
    for number, raw in enumerate(source.split("\n"), 1):
        if raw.startswith("---") and begun and not re.fullmatch(_SEPARATOR, raw):
            raise ambiguous(number, "a document that begins on the line of its separator")
        begun = begun or not raw.lstrip().startswith("#")


def objects(documents: Documents) -> list[ManifestObject]:
    """All objects of all documents; those in lists, too."""
    every = [each for root in documents.roots for each in _objects(documents, root)]
    shared = ambiguous_titles((each.title, each.namespace) for each in every)
    return [each.within_namespace() if each.title in shared else each for each in every]


def ambiguous_titles(objects: Iterable[tuple[str, str]]) -> set[str]:
    """The KIND/NAME that stand in several namespaces, of pairs with the namespace."""
    places: dict[str, set[str]] = {}
    for title, namespace in objects:
        places.setdefault(title, set()).add(namespace)
    return {title for title, namespaces in places.items() if len(namespaces) > 1}


def _objects(documents: Documents, root: Node) -> Iterator[ManifestObject]:
    keys = documents.mapping(root, "an object")
    if not keys:  # an empty document
        return
    kind = optional_text(keys.get("kind"), "kind")
    if kind is None:
        raise BadInput(f"line {line(root)}: not a Kubernetes object: it has no kind")
    if not _is_list(documents, kind, keys):
        yield _object(documents, kind, root, root)
        return
    for item in documents.items(keys["items"], "items"):
        inner = documents.mapping(item, "an item of a list")
        # The items of a PodList need not say that they are pods.
        named = optional_text(inner.get("kind"), "kind") or kind.removesuffix("List")
        if named.endswith("List") or _is_list(documents, named, inner):
            raise wrong(item, "an item of a list", "an object, not another list")
        yield _object(documents, named, item, root)


def _is_list(documents: Documents, kind: str, keys: Entries) -> bool:
    """kubectl takes whatever has items for a list."""
    items = keys.get("items")
    if items is None or is_null(items):
        return False
    return kind.endswith("List") or (
        isinstance(items, Sequence)
        and any(
            isinstance(item, Mapping) and "kind" in documents.mapping(item, "an item")
            for item in items.items
        )
    )


def _object(documents: Documents, kind: str, node: Node, root: Node) -> ManifestObject:
    keys = documents.mapping(node, "an object")
    metadata = documents.inner(keys, "metadata")
    named = next((metadata[key] for key in ("name", "generateName") if key in metadata), None)
    name = optional_text(named, "name") or "?"
    pod = _pod(documents, kind, keys)
    version = optional_text(keys.get("apiVersion"), "apiVersion")
    group = (version or "").partition("/")[0]
    finder = ContainerFinder(
        documents, f"{kind}/{name}", _PATTERNS.get(group, ("openAPIV3Schema",))
    )
    if pod is not None:
        template = documents.mapping(pod.holder.get("metadata"), "metadata")
        finder.annotations = documents.inner(template, "annotations")
        finder.take_pod(pod.spec)
        finder.annotations = {}
    if f"{version} {kind}" not in default().names["no-workloads"] and group not in _POLICIES:
        finder.search(node, {}, "?")
    namespace = optional_text(metadata.get("namespace"), "namespace") or DEFAULT_NAMESPACE
    return ManifestObject(kind, name, namespace, line(root), keys, pod, tuple(finder.containers))


def _pod(documents: Documents, kind: str, keys: Entries) -> ManifestPod | None:
    """A kind that is not known can have a template of a pod as a Deployment has."""
    holder = spec = keys
    for key in POD_SPEC.get(kind, POD_SPEC["Deployment"]):
        node = spec.get(key)
        if kind not in POD_SPEC and not isinstance(node, Mapping):
            return None
        holder, spec = spec, documents.mapping(node, key)
    return ManifestPod(holder, spec) if kind in POD_SPEC or "containers" in spec else None


def host_volumes(documents: Documents) -> Iterator[tuple[str, Volume, int]]:
    """(title, volume, line) of the PersistentVolumes that stand for a folder of a node, and of the
    claims from whose annotations podman makes a volume."""
    for each in objects(documents):
        spec, annotations = (
            documents.inner(each.keys, *path) for path in (("spec",), ("metadata", "annotations"))
        )
        for key in ("hostPath", "local") if each.kind.endswith("PersistentVolume") else ():
            place = documents.mapping(spec.get(key), key)
            if path := optional_text(place.get("path"), "path"):
                yield each.title, Volume(device=path), line(spec[key])
        if "flexVolume" in spec:
            flex = documents.mapping(spec["flexVolume"], "flexVolume")
            yield each.title, Volume(text_at(flex, "driver")), line(spec["flexVolume"])
        if each.kind.endswith("PersistentVolumeClaim"):
            driver, kind, device, options = (
                any_text(annotations.get(f"volume.podman.io/{key}")) or ""
                for key in ("driver", "type", "device", "mount-options")
            )
            yield each.title, Volume(driver, kind, device, options), each.line


_NAME = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"


_TEMPLATE = ("spec", "template", "spec")
POD_SPEC: dict[str, tuple[str, ...]] = {
    "Pod": ("spec",),
    "Deployment": _TEMPLATE,
    "StatefulSet": _TEMPLATE,
    "DaemonSet": _TEMPLATE,
    "ReplicaSet": _TEMPLATE,
    "ReplicationController": _TEMPLATE,
    "Job": _TEMPLATE,
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
    "PodTemplate": ("template", "spec"),
}
"""Kind → the path to the specification of its pod."""


def is_object_name(text: str) -> bool:
    """True if Kubernetes takes it as the name of an object (RFC 1123)."""
    return re.fullmatch(_NAME, text) is not None
