"""A file of each configuration language: what a new one adds, for the tests that take them all."""

from __future__ import annotations

import json
from collections.abc import Callable

import yaml

from capadvise.config.declared import Exposure

_BUNDLE = """{"ociVersion": "1.0", "root": {"path": "rootfs"}, "linux": {"namespaces": []},
"process": {"args": ["a"], "capabilities": {"bounding": ["CAP_SYS_ADMIN"]}}}
"""
_TASK = """{"family": "shop", "networkMode": "host", "containerDefinitions": [
{"name": "web", "image": "x", "linuxParameters": {"capabilities": {"add": ["SYS_ADMIN"]}}}]}
"""
FILES = {
    "compose": (
        "a/compose.yaml",
        "services:\n  web:\n    image: x\n    network_mode: host\n    cap_add: [SYS_ADMIN]\n",
        ("web", Exposure.HOST_NETWORK),
    ),
    "kubernetes": (
        "a/pod.yaml",
        "kind: Pod\nmetadata: {name: web}\nspec:\n  hostNetwork: true\n  containers:\n"
        "    - name: c\n      image: x\n      securityContext:\n"
        "        capabilities:\n          add: [SYS_ADMIN]\n",
        ("Pod/web/c", Exposure.HOST_NETWORK),
    ),
    "quadlet": (
        "a/web.container",
        "[Container]\nImage=x\nNetwork=host\nAddCapability=SYS_ADMIN\n",
        ("web", Exposure.HOST_NETWORK),
    ),
    "systemd": (
        "a/web.service",
        "[Service]\nExecStart=+/bin/a\nCapabilityBoundingSet=CAP_SYS_ADMIN\n",
        ("web", Exposure.PRIVILEGED_COMMAND),
    ),
    "ecs": ("a/task-definition.json", _TASK, ("web", Exposure.HOST_NETWORK)),
    "oci": ("web/config.json", _BUNDLE, ("web", Exposure.HOST_NETWORK)),
    "foreign": (
        "a/main.tf",
        'resource "docker_container" "web" {\n  network_mode = "host"\n'
        '  capabilities {\n    add = ["SYS_ADMIN"]\n  }\n}\n',
        ("web", Exposure.HOST_NETWORK),
    ),
}
"""Language → path, text, and the service in it with something that it exposes."""


def _compose(add: list[str], drop: list[str], privileged: bool) -> str:
    service = {"image": "x", "cap_add": add, "cap_drop": drop, "privileged": privileged}
    return yaml.safe_dump({"services": {"web": service}})


def _kubernetes(add: list[str], drop: list[str], privileged: bool) -> str:
    context = {"privileged": privileged, "capabilities": {"add": add, "drop": drop}}
    container = {"name": "web", "securityContext": context}
    pod = {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}}
    return yaml.safe_dump(pod)


def _quadlet(add: list[str], drop: list[str], privileged: bool) -> str:
    """Quotes in some places: what one parser takes off, the other has to."""
    lines = [f'AddCapability="{name}"' for name in add] + [f"DropCapability={' '.join(drop)}"]
    args = ['PodmanArgs="--privileged" --init'] if privileged else []
    return "\n".join(["[Container]", "Image=x", *lines, *args, ""])


def _systemd(add: list[str], drop: list[str], privileged: bool) -> str:
    """A unit has no switch that makes it privileged."""
    names = [name.upper() if name.startswith("cap_") else f"CAP_{name}" for name in add]
    lines = [f'CapabilityBoundingSet="{" ".join(names)}"'] if names else []
    lines += [f"CapabilityBoundingSet=~'CAP_{name}'" for name in drop]
    return "\n".join(["[Service]", "ExecStart=/bin/true", *lines, ""])


def _ecs(add: list[str], drop: list[str], privileged: bool) -> str:
    linux = {"capabilities": {"add": add, "drop": drop}}
    container = {"name": "web", "linuxParameters": linux, "privileged": privileged}
    return json.dumps({"containerDefinitions": [container]}, indent=2)


WRITTEN: dict[str, Callable[[list[str], list[str], bool], str]] = {
    "compose": _compose,
    "kubernetes": _kubernetes,
    "quadlet": _quadlet,
    "systemd": _systemd,
    "ecs": _ecs,
}
"""Language that is patched → a file with one service that adds and drops these, privileged or not.
"""
