"""Ansible: the tasks of playbooks and roles that start containers."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from capadvise.config.carriers.settings import (
    calls,
    container,
    distinct,
    kept,
    mappings,
    pairs,
    unjudged,
    value,
)
from capadvise.config.declared import Declared
from capadvise.config.kubernetes.file import declared_in
from capadvise.config.language import UnknownFile
from capadvise.config.yaml.reader import Documents
from capadvise.config.yaml.tree import Mapping, Node, Scalar, Sequence, documents, entries, target
from capadvise.model.errors import BadInput

_CONTAINERS = (
    *("docker_container", "podman_container", "docker_container2", "docker_swarm_service"),
    *("podman_pod",),
)
_MANIFESTS = ("k8s", "podman_play", "kubernetes")
_PROJECTS = ("docker_compose", "docker_compose_v2", "docker_stack")
_COMMANDS = ("command", "shell", "raw", "script", "win_shell")
_MODULES = (*_CONTAINERS, *_MANIFESTS, *_PROJECTS, *_COMMANDS)


def claims(file: UnknownFile) -> bool:
    """True for a list of plays or of tasks."""
    return any(
        isinstance(target(item), Mapping) and _is_task(target(item))
        for root in map(target, file.roots)
        if isinstance(root, Sequence)
        for item in root.items
    )


def _is_task(node: Node) -> bool:
    keys = entries(node)
    if "hosts" in keys and keys.keys() & {"tasks", "roles", "pre_tasks", "post_tasks", "handlers"}:
        return True
    return "block" in keys or any(_module(key) for key in keys)


def meant(path: str, source: str) -> bool:
    """True if a module of it starts containers."""
    return any(
        name in source for name in (*_CONTAINERS, *_MANIFESTS, *_PROJECTS, "docker", "podman")
    )


def _module(key: str) -> str:
    """``docker_container`` of ``community.docker.docker_container``; empty for another key."""
    name = key.rpartition(".")[2]
    prefix = key.rpartition(".")[0]
    known = (
        "",
        "community.docker",
        "containers.podman",
        "kubernetes.core",
        "community.kubernetes",
        "community.general",
        "ansible.builtin",
        "ansible.legacy",
        "ansible.windows",
    )
    return name if name in _MODULES and prefix in known else ""


def read(source: str, path: str = "") -> tuple[Declared, ...]:
    """The containers, under their names."""
    found: list[Declared] = []
    for root in map(target, documents(source)):
        if not isinstance(root, Sequence | Mapping):
            raise BadInput("line 1: not a playbook: it has no tasks")
        for task in mappings(root):
            for key, node in pairs(task):
                if module := _module(key):
                    found += _task(module, key, node, value(task, "name"))
    return distinct(found)


def _task(module: str, key: str, node: Node, name: str) -> Iterator[Declared]:
    line = node.line
    if module in _COMMANDS:
        yield from calls(_command(node), name or module)
    elif module in _CONTAINERS:
        yield container(_arguments(node), name or module, line)
    elif module in _PROJECTS and any(each == "definition" for each, _ in pairs(node)):
        yield kept(unjudged(f"{key}: a project that is written in the task", line), name)
    elif module in _MANIFESTS:
        yield from _manifests(key, node, name)


def _command(node: Node) -> Node:
    """The command itself, as free text, ``cmd`` or ``argv``."""
    given = dict(pairs(node))
    if isinstance(words := target(given.get("argv", node)), Sequence):
        text = shlex.join(
            item.value for item in map(target, words.items) if isinstance(item, Scalar)
        )
        return Scalar(0, 0, words.line, None, None, text, "")
    return given.get("cmd", node)


def _arguments(node: Node) -> Node:
    """``name=web privileged=yes`` as keys and values."""
    if not isinstance(node, Scalar):
        return node

    def scalar(text: str) -> Scalar:
        return Scalar(0, 0, node.line, None, None, text, "")

    try:
        words = shlex.split(node.value)
    except ValueError:
        words = node.value.split()
    found = tuple(
        (scalar(word.partition("=")[0]), scalar(word.partition("=")[2])) for word in words
    )
    return Mapping(0, 0, node.line, None, None, found, True)


def _manifests(key: str, node: Node, name: str) -> Iterator[Declared]:
    given = dict(pairs(node))
    definition = given.get("definition", given.get("resource_definition"))
    if definition is None or (
        "state" in given and getattr(given["state"], "value", "") == "absent"
    ):
        sources = [each for each in ("src", "template", "kube_file", "url") if each in given]
        for each in sources:
            yield kept(unjudged(f"{key}: the manifest {value(node, each)}", given[each].line), name)
        return
    try:
        roots = definition.items if isinstance(definition, Sequence) else (definition,)
        if isinstance(definition, Scalar):
            roots = documents(
                "\n" * (definition.line - 1 + bool(definition.style)) + definition.value
            )
        yield from declared_in(Documents(tuple(roots)))
    except BadInput as error:
        yield kept(unjudged(f"{key}: {error}", definition.line), name)
