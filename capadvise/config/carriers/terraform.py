"""Terraform and OpenTofu, in HCL and in JSON: resources of docker and of Kubernetes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from capadvise.config.carriers.hcl import EXPRESSION, hcl
from capadvise.config.carriers.settings import (
    container,
    distinct,
    items,
    kept,
    keys,
    mappings,
    pairs,
    plain,
    telling,
    unjudged,
)
from capadvise.config.declared import Declared
from capadvise.config.kubernetes.file import declared_in
from capadvise.config.kubernetes.manifests import DIALECT
from capadvise.config.language import UnknownFile
from capadvise.config.yaml.reader import Documents
from capadvise.config.yaml.tree import Mapping, Node, Scalar, Sequence, documents, target, text
from capadvise.model.errors import BadInput

_KINDS = {
    "pod": "Pod",
    "deployment": "Deployment",
    "stateful_set": "StatefulSet",
    "daemonset": "DaemonSet",
    "daemon_set": "DaemonSet",
    "replication_controller": "ReplicationController",
    "job": "Job",
    "cron_job": "CronJob",
}
_LISTS = {
    "container": "containers",
    "init_container": "initContainers",
    "volume": "volumes",
    "volume_mount": "volumeMounts",
    "port": "ports",
    "env": "env",
    "env_from": "envFrom",
    "toleration": "tolerations",
    "sysctl": "sysctls",
}
"""Block → the list that it is an item of."""
_ODD = {"host_pid": "hostPID", "host_ipc": "hostIPC", "host_users": "hostUsers"}
_TEXTS = ("yaml_body", "content")


def claims(file: UnknownFile) -> bool:
    """False: its files are known by their names."""
    return False


def read(source: str, path: str = "") -> tuple[Declared, ...]:
    """The containers of its resources. Keys that give power in others are named, not judged."""
    is_json = source.lstrip("\ufeff \t\r\n").startswith("{")
    root = target(documents(source)[0]) if is_json else hcl(source.removeprefix("\ufeff"))
    found: list[Declared] = []
    taken: set[int] = set()
    for kind, name, node in _resources(root):
        declared = list(_resource(kind, name, node))
        if declared:
            taken |= {each.line for one in mappings(node) for _, each in pairs(one)}
        found += declared
    return distinct((*found, *telling(root, taken, "terraform")))


def _resources(root: Node) -> Iterator[tuple[str, str, Node]]:
    for key, resources in pairs(root):
        if key == "resource":
            for group in items(resources):
                for kind, named in pairs(group):
                    for each in items(named):
                        for name, body in pairs(each):
                            yield from ((kind, name, one) for one in items(body))


def _resource(kind: str, name: str, node: Node) -> Iterator[Declared]:
    bare = re.sub(r"_v\d+$", "", kind)
    if bare == "docker_container":
        yield container(node, name, node.line)
    elif bare == "docker_service":
        specs = [one for one in mappings(node) if any(key == "image" for key, _ in pairs(one))]
        yield from (container(one, name, node.line) for one in specs)
    elif bare.removeprefix("kubernetes_") in _KINDS and bare.startswith("kubernetes_"):
        yield from _workload(_KINDS[bare.removeprefix("kubernetes_")], name, node)
    elif bare in ("kubernetes_manifest", "kubectl_manifest", "k8s_manifest"):
        yield from _manifest(kind, name, node)
    elif bare == "helm_release":
        yield kept(unjudged(f"{kind}.{name}: a chart of Helm", node.line), name)


def _manifest(kind: str, name: str, node: Node) -> Iterator[Declared]:
    for key, each in pairs(node):
        if key == "manifest" and isinstance(each, Mapping):
            yield from _kubernetes(name, each)
        elif key in ("manifest", *_TEXTS):
            said = text(each) or ""
            if isinstance(each, Scalar) and each.style == "|" and "${" not in said:
                yield from _kubernetes(name, *documents("\n" * each.line + said))
            else:
                yield kept(unjudged(f"{kind}.{name}: {key} = {said}", each.line), name)


def _workload(kind: str, name: str, node: Node) -> Iterator[Declared]:
    root = _camel(node)
    extra = ((_key("kind", node), _key(kind, node)), (_key("apiVersion", node), _key("v1", node)))
    root.pairs = (*extra, *root.pairs)
    metadata = dict(pairs(root)).get("metadata")
    if not isinstance(metadata, Mapping) or "name" not in dict(pairs(metadata)):
        named = Mapping(
            0, 0, node.line, None, None, ((_key("name", node), _key(name, node)),), True
        )
        kept = tuple(pair for pair in root.pairs if pair[1] is not metadata)
        root.pairs = (*kept, (_key("metadata", node), named))
    yield from _kubernetes(name, root)


def _key(text: str, at: Node) -> Scalar:
    return Scalar(at.start, at.end, at.line, None, None, text, "")


def _kubernetes(name: str, *roots: Node) -> Iterator[Declared]:
    """The containers of objects. Values that Terraform computes are left out and reported."""
    unknown: list[Declared] = []
    clean = tuple(_known(root, unknown) for root in roots)
    try:
        yield from declared_in(Documents(clean, DIALECT))
    except BadInput as error:
        unknown.append(unjudged(str(error), roots[0].line))
    yield from (kept(part, name) for part in unknown)


def _known(node: Node, unknown: list[Declared]) -> Node:
    node = target(node)
    if isinstance(node, Sequence):
        inner = tuple(_known(item, unknown) for item in node.items)
        kept = tuple(item for item in inner if item.tag != EXPRESSION)
        return Sequence(node.start, node.end, node.line, None, None, kept, True)
    if not isinstance(node, Mapping):
        return node
    kept_pairs = []
    for key, value in node.pairs:
        new, said = _known(value, unknown), text(key) or ""
        is_known = new.tag != EXPRESSION and not isinstance(key, Sequence)
        if not is_known and plain(said) in keys()["telling"]:
            unknown.append(
                unjudged(f"{said}: {text(value)}, which only Terraform can tell", value.line)
            )
        if is_known:
            kept_pairs.append((key, new))
        elif said in ("image", "name", "path"):
            kept_pairs.append((key, _key(f"${{{text(value)}}}", value)))
    return Mapping(node.start, node.end, node.line, None, None, tuple(kept_pairs), True)


def _camel(node: Node) -> Mapping:
    """Blocks and arguments as the keys of a manifest."""
    lists: dict[str, list[Node]] = {}
    new: dict[str, tuple[Node, Node]] = {}
    for key, value in pairs(node):
        inner = [_camel(item) if isinstance(item, Mapping) else item for item in items(value)]
        if key == "dynamic":
            for name, block in pairs(value):
                lists.setdefault(_LISTS.get(name, name), []).extend(
                    _camel(content)
                    for _, each in pairs(block)
                    for content in items(each)
                    if isinstance(content, Mapping)
                )
        elif key in _LISTS:
            lists.setdefault(_LISTS[key], []).extend(inner)
        else:
            name = _ODD.get(key) or re.sub(r"_([a-z])", lambda at: at[1].upper(), key)
            whole = inner[0] if len(inner) == 1 and isinstance(inner[0], Mapping) else value
            new[name] = (_key(name, value), whole)
    for name, found in lists.items():
        at = found[0] if found else node
        sequence = Sequence(at.start, at.end, at.line, None, None, tuple(found), True)
        new[name] = (_key(name, at), sequence)
    return Mapping(node.start, node.end, node.line, None, None, tuple(new.values()), True)
