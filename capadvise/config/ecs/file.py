"""Task definitions: ``linuxParameters.capabilities`` of a container."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from capadvise.catalog import default
from capadvise.config import engine, host_paths
from capadvise.config.declared import Declared, ExposureAt
from capadvise.config.ecs import ECS
from capadvise.config.run.flags import profiles, security_option
from capadvise.config.yaml.reader import (
    Dialect,
    Documents,
    Entries,
    any_text,
    flag,
    line,
    optional_text,
    text_at,
)
from capadvise.config.yaml.tree import Node, ambiguous, names
from capadvise.model.errors import BadInput

if TYPE_CHECKING:
    from capadvise.config.snippet import Snippet

NO_GAIN = "no-new-privileges"
ON_FARGATE = ("SYS_PTRACE",)
FARGATE = "Fargate lets a task definition add only SYS_PTRACE"
"""From the API reference, ``KernelCapabilities``."""
DIALECT = Dialect(names=default().names["ecs-keys"])


def render(snippet: Snippet) -> str:
    """The keys to merge into the container of a task definition. JSON has no comments, and AWS
    refuses keys that it does not know: the reasons are labels of the container."""
    labels = {"capadvise.set": snippet.set_name, "capadvise.user": snippet.user}
    labels |= {"capadvise.rests_on": snippet.rests_on} if snippet.rests_on else {}
    labels |= {f"capadvise.{cap.name}": reason for cap, reason in snippet.caps}
    notes = (*snippet.notes, *engine.notes(snippet), *_of_aws(snippet))
    labels |= {f"capadvise.note.{n}": note for n, note in enumerate(notes, 1)}
    container: dict[str, Any] = {"name": snippet.name.replace(".", "-"), "dockerLabels": labels}
    if snippet.says_user:
        container["user"] = snippet.user
    if snippet.unprivileged:
        container["privileged"] = False
    add = [cap.short for cap, _ in snippet.caps]
    container["linuxParameters"] = {"capabilities": {"add": add, "drop": ["ALL"]}}
    if engine.no_new_privileges(snippet):
        container["dockerSecurityOptions"] = [NO_GAIN]
    if values := engine.sysctls(snippet):
        container["systemControls"] = [{"namespace": k, "value": v} for k, v in values.items()]
    return json.dumps({"containerDefinitions": [container]}, indent=2) + "\n"


def _of_aws(snippet: Snippet) -> Iterator[str]:
    names = [cap.short for cap, _ in snippet.caps]
    if lacking := [name for name in names if name in ECS.judged_by.lacks]:
        yield f"ECS does not take {', '.join(lacking)}"
    if any(name not in ON_FARGATE for name in names):
        yield f"{FARGATE}: there, drop by name what is not listed"


def read(source: str, path: str = "") -> tuple[Declared, ...]:
    """The containers of a task definition, each under its name."""
    documents = Documents(source, DIALECT)
    services: dict[str, Declared] = {}
    for keys in tasks(documents):
        task = TaskDefinition.of(documents, keys)
        for node in documents.items(keys["containerDefinitions"], "containerDefinitions"):
            one = _container(documents, node, keys, task)
            if one.service in services:
                raise BadInput(f"line {one.line}: container {one.service!r:.80} appears twice")
            services[one.service] = one
    return tuple(services.values())


def tasks(documents: Documents) -> list[Entries]:
    """The task definitions. Raises BadInput where a document is none."""
    every = []
    for root in documents.roots:
        keys = documents.mapping(root, "a task definition")
        inner = documents.inner(keys, "taskDefinition")
        if "containerDefinitions" in keys and "containerDefinitions" in inner:
            raise ambiguous(line(keys["taskDefinition"]), "a task definition within another")
        every.append(inner or keys)
    if not every or not all("containerDefinitions" in keys for keys in every):
        raise BadInput("line 1: not an ECS task definition: it has no containerDefinitions")
    return every


def _refused(keys: Entries, add: list[str], *, fargate: bool) -> Iterator[tuple[str, str]]:
    for name in dict.fromkeys(add):
        if fargate and name not in ON_FARGATE:
            yield name, f"{FARGATE}: to keep one of the default set, drop the others by name."
    if fargate and flag(keys.get("privileged"), "privileged"):
        yield "privileged", "Fargate has no privileged containers."


def _container(documents: Documents, node: Node, task: Entries, shared: TaskDefinition) -> Declared:
    keys = documents.mapping(node, "a container")
    caps = documents.inner(keys, "linuxParameters", "capabilities")
    drop, add = (documents.texts(caps.get(key), key) for key in ("drop", "add"))
    options = documents.texts(keys.get("dockerSecurityOptions"), "dockerSecurityOptions")
    said = [at for option, at in options if option.replace("=", ":").split(":")[0] == NO_GAIN]
    name = optional_text(keys.get("name"), "name") or "?"
    family = any_text(task.get("family"))
    platform = documents.inner(task, "runtimePlatform")
    fargate = "FARGATE" in names(task.get("requiresCompatibilities"))
    return Declared(
        service=name,
        aliases=(f"{family}/{name}",) if family else (),
        image=any_text(keys.get("image")),
        line=line(node),
        drop=tuple(cap for cap, _ in drop),
        add=tuple(cap for cap, _ in add),
        privileged=flag(keys.get("privileged"), "privileged") is True,
        user=optional_text(keys.get("user"), "user"),
        no_new_privileges=True if said else None,
        lines=(
            *((key, line(keys[key])) for key in ("privileged", "user") if key in keys),
            *(("no_new_privileges", at) for at in said),
            *(*drop, *add),
        ),
        exposed=tuple(exposed(documents, keys, options, shared)),
        unjudged=tuple(unjudged(documents, keys)),
        profiles=tuple(profiles(options)),
        refused=tuple(_refused(keys, [cap for cap, _ in add], fargate=fargate)),
        windows=(any_text(platform.get("operatingSystemFamily")) or "").startswith("WINDOWS"),
    )


_MODES = host_paths.namespaces("ecs")


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """The settings of a task definition outside of its containers that count for each of them."""

    shared: tuple[ExposureAt, ...]
    volumes: dict[str, tuple[str, host_paths.Volume]]
    """The folders of the host that its volumes stand for, and what drivers make of them."""

    @classmethod
    def of(cls, documents: Documents, task: Entries) -> TaskDefinition:
        shared = (
            ExposureAt(kind, f"{key}: {said}", line(task[key]))
            for mode, kind in _MODES.items()
            for key, said in [mode.split()]
            if text_at(task, key) == said
        )
        volumes: dict[str, tuple[str, host_paths.Volume]] = {}
        for node in documents.items(task.get("volumes"), "volumes"):
            volume = documents.mapping(node, "a volume")
            folder = text_at(documents.inner(volume, "host"), "sourcePath")
            made = documents.inner(volume, "dockerVolumeConfiguration")
            opts = documents.inner(made, "driverOpts")
            said = (text_at(opts, key) for key in ("type", "device", "o"))
            volumes[text_at(volume, "name")] = (
                folder,
                host_paths.Volume(text_at(made, "driver"), *said),
            )
        return cls(tuple(shared), volumes)


def exposed(
    documents: Documents, keys: Entries, options: list[tuple[str, int]], task: TaskDefinition
) -> Iterator[ExposureAt]:
    """All of a container."""
    yield from task.shared
    for option, at in options:
        yield from security_option(option, at)
    for node in documents.items(keys.get("mountPoints"), "mountPoints"):
        mount = documents.mapping(node, "a mount point")
        source = text_at(mount, "sourceVolume")
        writable = flag(mount.get("readOnly"), "readOnly") is not True
        path, volume = task.volumes.get(source, ("", host_paths.Volume()))
        yield from host_paths.mounted(path, line(node), writable=writable)
        yield from volume.exposed(line(node), writable=writable)
    for key, node in keys.items():
        yield from host_paths.reached("ecs", key, any_text(node) or "", line(node))
    linux = documents.inner(keys, "linuxParameters")
    for node in documents.items(linux.get("devices"), "devices"):
        device = documents.mapping(node, "a device")
        yield from host_paths.device(text_at(device, "hostPath"), line(node))


def unjudged(documents: Documents, keys: Entries) -> Iterator[tuple[str, int]]:
    """Settings outside of the container that grant more."""
    if documents.items(keys.get("volumesFrom"), "volumesFrom"):
        yield "it mounts the volumes of other containers", line(keys["volumesFrom"])
