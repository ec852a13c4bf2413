"""Manifests, and what kubectl makes of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.differential.yaml_spellings import Draw, Map, Writer, disguised, framed

NAME = "pod.yaml"
_SAFE_CAPS: list[tuple[str, Any]] = [("drop", ["ALL"]), ("add", ["NET_BIND_SERVICE"])]
_BAD_CAPS: list[tuple[str, Any]] = [("add", ["SYS_ADMIN"])]


@st.composite
def texts(draw: Draw) -> str:
    """A manifest with one container, hidden or not."""
    caps = disguised(draw, _SAFE_CAPS, _BAD_CAPS)
    safe: list[tuple[str, Any]] = [
        ("privileged", False),
        ("allowPrivilegeEscalation", False),
        ("capabilities", caps if draw(st.booleans()) else Map(_SAFE_CAPS)),
    ]
    bad: list[tuple[str, Any]] = [("privileged", True)]
    context = disguised(draw, safe, bad if draw(st.booleans()) else [])
    container = disguised(
        draw,
        [("name", "c"), ("image", "x"), ("securityContext", context)],
        [("securityContext", Map(bad))] if draw(st.integers(1, 4)) == 1 else [],
    )
    top = _object(draw, container)
    writer = Writer(draw, ("!reset", "!override"))
    if draw(st.integers(1, 8)) == 1:
        return _as_json(draw, top)
    return framed(draw, writer.document(top), separators=True)


def _object(draw: Draw, container: Map) -> Map:
    group = draw(
        st.sampled_from(["containers", "containers", "initContainers", "ephemeralContainers"])
    )
    spec: Map = Map([(group, [container])])
    if draw(st.integers(1, 5)) == 1:
        spec = disguised(draw, [("containers", [Map([("name", "s")])])], [(group, [container])])
    meta: tuple[str, Any] = ("metadata", Map([("name", "a")]))
    kind = draw(st.sampled_from(["Pod", "Pod", "Deployment", "CronJob", "List", "Pods", "Widget"]))
    version = {"Deployment": "apps/v1", "CronJob": "batch/v1"}.get(kind, "v1")
    head: list[tuple[str, Any]] = [("apiVersion", version), ("kind", kind), meta]
    template = Map([("spec", spec)])
    if kind == "Deployment":
        return Map([*head, ("spec", Map([("template", template)]))])
    if kind == "CronJob":
        job = Map([("spec", Map([("template", template)]))])
        return Map([*head, ("spec", Map([("jobTemplate", job)]))])
    pod = Map([("apiVersion", "v1"), ("kind", "Pod"), meta, ("spec", spec)])
    if kind in ("List", "Pods"):
        return Map([("apiVersion", "v1"), ("kind", kind), ("items", [pod])])
    return Map([*head, ("spec", spec)])


def _as_json(draw: Draw, value: Any) -> str:
    """JSON, with keys that stand twice."""
    if isinstance(value, Map):
        space = draw(st.sampled_from(["", " ", "\n", "\t"]))
        pairs = [
            f"{json.dumps(key)}:{space}{_as_json(draw, item)}"
            for key, item in value.pairs
            if key != "<<"
        ]
        return "{" + f",{space}".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_as_json(draw, item) for item in value) + "]"
    return json.dumps(value)


def granted(path: Path) -> set[str] | None:
    """What the containers of a file get, by kubectl; None where it refuses the file."""
    values = read_by_kubectl(path)
    return None if values is None else {one for value in values for one in _grants(value)}


def read_by_kubectl(path: Path) -> list[Any] | None:
    """The objects of a file; None where kubectl refuses it."""
    done = subprocess.run(
        ["kubectl", "label", "--local", "-o", "json", "-f", str(path), "x=y"],
        capture_output=True,
        text=True,
        errors="replace",
    )
    decoder, text, values = json.JSONDecoder(), done.stdout.strip(), []
    while text:
        value, end = decoder.raw_decode(text)
        values.append(value)
        text = text[end:].strip()
    return values or None


def _grants(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _grants(item)
    if not isinstance(value, dict):
        return
    for group in ("containers", "initContainers", "ephemeralContainers"):
        for container in value.get(group) or []:
            # What has neither of a kind that nobody knows need not be a container.
            if isinstance(container, dict) and {"image", "securityContext"} & container.keys():
                yield from _context(container.get("securityContext") or {})
    for item in value.values():
        yield from _grants(item)


OF_DEFAULT = "SETFCAP"
"""What a container holds that does not drop ALL, and would not hold otherwise."""


def _context(context: dict[str, Any]) -> Iterator[str]:
    if context.get("privileged") is True:
        yield "privileged"
    caps = context.get("capabilities")
    added = caps.get("add") if isinstance(caps, dict) else None
    yield from (str(name) for name in added or [] if name != "NET_BIND_SERVICE")
    dropped = caps.get("drop") if isinstance(caps, dict) else None
    if "ALL" not in (dropped or []):
        yield OF_DEFAULT
