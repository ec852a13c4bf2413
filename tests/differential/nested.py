"""Custom resources of any shape with a part of a pod in them, as objects or as text, and what the
pods that are made of them get."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from posixpath import normpath
from typing import Any

import yaml
from hypothesis import strategies as st

from tests.differential.kubernetes import read_by_kubectl
from tests.differential.yaml_spellings import Draw

NAME = "widget.yaml"
_KINDS = (
    *("Widget", "Workflow", "CronWorkflow", "Prometheus", "Rollout", "Cluster", "Ingress", "Task"),
    *("RayCluster", "SparkApplication", "Job", "ConfigMap", "Policy", "CloneSet", "Elasticsearch"),
)
_KEYS = (
    *(
        "spec",
        "template",
        "podTemplate",
        "nodeSets",
        "workers",
        "server",
        "values",
        "steps",
        "main",
    ),
    *(
        "jobTemplate",
        "driver",
        "executor",
        "pod",
        "podSpec",
        "overrides",
        "sidecar",
        "x",
        "default",
    ),
)
_TEXTS = ("manifest", "podSpecPatch", "patch", "template", "pod.yaml", "data", "raw", "inline")
_PLACES = (
    *("/", "/etc", "/var/run/docker.sock", "/srv/data", "/var/lib/x", "/run/containerd", "/dev"),
    *(
        "/srv/../etc/cron.d",
        "/proc/1/root",
        "/var/log/app",
        "/root/.ssh",
        "//etc",
        "/etc/localtime",
    ),
)
_SOUND: dict[str, Any] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


@st.composite
def texts(draw: Draw) -> str:
    """A manifest with a part of a pod somewhere, which has a danger in it or not."""
    value = _part(draw)
    for _ in range(draw(st.integers(0, 4))):
        key = draw(st.sampled_from(_KEYS))
        around = {draw(st.sampled_from(_KEYS)): 1} if draw(st.booleans()) else {}
        value = {**around, key: [value] if draw(st.integers(1, 4)) == 1 else value}
    if draw(st.integers(1, 5)) == 1:
        write = draw(st.sampled_from([yaml.safe_dump, json.dumps]))
        value = {draw(st.sampled_from(_TEXTS)): write(value)}
    kind = draw(st.sampled_from(_KINDS))
    top = {"apiVersion": draw(st.sampled_from(["x.io/v1", "v1"])), "kind": kind}
    top |= {"metadata": {"name": "a"}, draw(st.sampled_from(["spec", "spec", "data"])): value}
    return yaml.safe_dump(top, sort_keys=False)


def _part(draw: Draw) -> dict[str, Any]:
    """A pod's spec, a template of one, a container, or settings of either, as operators have
    them."""
    container: dict[str, Any] = {"name": "c", "image": "x", "securityContext": dict(_SOUND)}
    pod: dict[str, Any] = {"containers": [container]}
    danger = draw(
        st.sampled_from(["none", "none", "host", "path", "path", "context", "caps", "device"])
    )
    if danger == "host":
        pod[draw(st.sampled_from(["hostPID", "hostNetwork", "hostIPC"]))] = draw(st.booleans())
    elif danger == "path":
        place = draw(st.sampled_from(_PLACES))
        pod["volumes"] = [{"name": "v", "hostPath": {"path": place}}]
        container["volumeMounts"] = [{"name": "v", "mountPath": "/x"}]
    elif danger == "context":
        container["securityContext"] |= {"privileged": draw(st.sampled_from([True, True, False]))}
    elif danger == "caps":
        added = draw(st.sampled_from([["SYS_ADMIN"], ["NET_BIND_SERVICE"], ["ALL"], ["all"]]))
        container["securityContext"] = {"capabilities": {"drop": ["ALL"], "add": added}}
    elif danger == "device":
        container["securityContext"] |= {"procMount": "Unmasked"}
    shapes: list[dict[str, Any]] = [pod, {"template": {"spec": pod}}, {"spec": pod}]
    if danger in ("context", "caps", "device"):
        one = draw(st.sampled_from(["container", "script", "mainContainer", "initContainer"]))
        shapes += [container, {one: container}, {"initContainers": [container]}]
        shapes += [{"securityContext": container["securityContext"], "image": "x"}]
    if danger in ("host", "path"):
        shapes += [{**pod, "containers": []}, {k: v for k, v in pod.items() if k != "containers"}]
    return draw(st.sampled_from(shapes))


def reaches(path: Path) -> set[str] | None:
    """What a pod gets that an operator makes of the parts; None where kubectl refuses the file."""
    values = read_by_kubectl(path)
    return None if values is None else {one for value in values for one in _dangers(value)}


def _dangers(value: Any) -> Iterator[str]:
    if isinstance(value, str) and ("\n" in value or value.startswith("{")):
        try:
            value = yaml.safe_load(value)
        except yaml.YAMLError:
            return
    if isinstance(value, list):
        for item in value:
            yield from _dangers(item)
    if not isinstance(value, dict):
        return
    for key in ("hostPID", "hostNetwork", "hostIPC", "privileged"):
        if value.get(key) is True:
            yield key
    if value.get("procMount") == "Unmasked":
        yield "procMount"
    added = value.get("add")
    yield from (name for name in added or [] if name != "NET_BIND_SERVICE")
    host = value.get("hostPath")
    if isinstance(host, dict):
        place = "/" + normpath(host["path"]).lstrip("/")
        if place not in ("/srv/data", "/var/lib/x", "/var/log/app", "/etc/localtime"):
            yield place
    for item in value.values():
        yield from _dangers(item)
