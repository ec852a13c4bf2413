"""The pods of a Kubernetes manifest, as the controls of Pod Security look at them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from capadvise.catalog import Catalog
from capadvise.config.kubernetes.manifests import CONTAINERS, DIALECT, objects
from capadvise.config.yaml.reader import Documents, Entries, flag, line, optional_text


@dataclass(frozen=True, slots=True)
class PodContainer:
    """A container's keys, and those of its ``securityContext``."""

    name: str
    keys: Entries
    context: Entries
    line: int


@dataclass(frozen=True, slots=True)
class Pod:
    """What the controls look at."""

    documents: Documents
    name: str
    line: int
    spec: Entries
    annotations: Entries
    baseline_addable: frozenset[str]
    restricted_addable: frozenset[str]

    @property
    def context(self) -> Entries:
        """The pod's own ``securityContext``."""
        return self.inner(self.spec, "securityContext")

    def inner(self, keys: Entries, *path: str) -> Entries:
        """Keys and values further inside; empty where there are none."""
        for key in path:
            keys = self.documents.mapping(keys.get(key), key)
        return keys

    def containers(self) -> Iterator[PodContainer]:
        """Init and ephemeral ones too."""
        for group in CONTAINERS:
            for node in self.documents.items(self.spec.get(group), group):
                keys = self.documents.mapping(node, f"an item of {group}")
                name = optional_text(keys.get("name"), "name") or "?"
                yield PodContainer(name, keys, self.inner(keys, "securityContext"), line(node))

    def contexts(self) -> Iterator[tuple[str, Entries, int]]:
        """(whose, securityContext, line) of the pod and of each container."""
        yield "the pod", self.context, self.line
        for container in self.containers():
            yield container.name, container.context, container.line

    @property
    def windows(self) -> bool:
        """Controls about Linux do not apply."""
        return optional_text(self.inner(self.spec, "os").get("name"), "name") == "windows"

    @property
    def own_users(self) -> bool:
        """It is in a user namespace of its own (since 1.35 root there is no violation)."""
        return flag(self.spec.get("hostUsers"), "hostUsers") is False


def pods(source: str, catalog: Catalog) -> Iterator[Pod]:
    """The pods of a manifest. Raises BadInput, with the line, for what is none."""
    baseline, restricted = (
        frozenset(cap.short for cap in catalog.pod_addable[level])
        for level in ("baseline", "restricted")
    )
    documents = Documents(source, DIALECT)
    for each in objects(documents):
        if each.pod is None:
            continue
        metadata = documents.mapping(each.pod.holder.get("metadata"), "metadata")
        yield Pod(
            documents,
            f"{each.kind}/{each.name}",
            each.line,
            each.pod.spec,
            documents.mapping(metadata.get("annotations"), "annotations"),
            baseline,
            restricted,
        )
