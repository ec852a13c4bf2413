"""Nomad jobs, in HCL and in JSON: the tasks whose driver starts a container."""

from __future__ import annotations

import re
from collections.abc import Iterator

from capadvise.config.carriers.hcl import hcl
from capadvise.config.carriers.settings import (
    container,
    distinct,
    joined,
    kept,
    mappings,
    pairs,
    plain,
    telling,
    unjudged,
    value,
    values,
)
from capadvise.config.declared import Declared, Exposure, ExposureAt
from capadvise.config.language import UnknownFile
from capadvise.config.yaml.tree import Mapping, Node, Sequence, documents, entries, target
from capadvise.model.errors import BadInput

_CONTAINERS = ("docker", "podman", "containerd-driver", "nerdctl")
_ON_HOST = ("raw_exec",)


def claims(file: UnknownFile) -> bool:
    """True for a job in JSON, as ``nomad job run`` and the API take it."""
    return any(
        isinstance(target(node), Mapping) and _is_job(target(node))
        for root in file.roots
        for key, node in entries(root).items()
        if key in ("job", "Job")
    )


def _is_job(node: Node) -> bool:
    names = {plain(key) for key, _ in pairs(node)}
    inner = {plain(key) for each in mappings(node) for key, _ in pairs(each)}
    return "taskgroups" in names or {"group", "task"} <= inner | names


def meant(path: str, text: str) -> bool:
    """True if it has a job: other programs have HCL, too."""
    return re.search(r'^[\s{]*"?job"?\s*[:{"]', text, re.MULTILINE | re.IGNORECASE) is not None


def read(source: str, path: str = "") -> tuple[Declared, ...]:
    """The tasks, as GROUP/TASK."""
    is_json = source.lstrip("\ufeff \t\r\n").startswith("{")
    root = target(documents(source)[0]) if is_json else hcl(source.removeprefix("\ufeff"))
    tasks = list(_tasks(root, ""))
    if not tasks and not meant(path, source):
        raise BadInput("line 1: not a Nomad job: it has no job")
    read_lines: list[int] = []
    declared = [_task(node, name, read_lines) for name, node in tasks]
    declared += [
        kept(unjudged(f"the volume {value(each, 'source')} of Nomad's client", each.line), "job")
        for each in mappings(root)
        if value(each, "type") == "host" and value(each, "source")
    ]
    return distinct((*declared, *telling(root, read_lines, "job")))


def _tasks(node: Node, name: str) -> Iterator[tuple[str, Node]]:
    """Mappings with a driver and its configuration, and the names of what it stands in."""
    node = target(node)
    if isinstance(node, Sequence):
        for item in node.items:
            yield from _tasks(item, name)
    if not isinstance(node, Mapping):
        return
    keys = {plain(key) for key, _ in pairs(node)}
    if "driver" in keys and keys & {"config", "name", "resources", "template"}:
        yield value(node, "name") or name, node
        return
    for key, inner in pairs(node):
        yield from _tasks(inner, name if key in _STRUCTURE else f"{name}/{key}".strip("/"))


_STRUCTURE = ("job", "Job", "group", "task", "TaskGroups", "Tasks", "dynamic", "content")


def _task(node: Node, name: str, read_lines: list[int]) -> Declared:
    driver = value(node, "driver")
    configs = values(node, "config")
    line = node.line
    parts: list[Declared] = []
    if driver in _ON_HOST:
        exposed = (ExposureAt(Exposure.HOST_COMMAND, f"driver {driver}", line),)
        parts.append(Declared("", line, ("ALL",), exposed=exposed))
    elif driver not in _CONTAINERS:
        parts.append(kept(unjudged(f"tasks of the driver {driver or '?'}", line), name))
    for config in configs if driver in (*_CONTAINERS, *_ON_HOST) else ():
        parts.append(container(config, name))
        read_lines += [item.line for each in mappings(config) for _, item in pairs(each)]
    user = value(node, "user") or None
    image = next((value(each, "image") for each in configs), "") or None
    whole = joined(parts, name, line, image)
    return (
        whole if user is None else joined([whole, Declared("", line, user=user)], name, line, image)
    )
