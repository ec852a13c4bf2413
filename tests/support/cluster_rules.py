"""What a server refuses: by the roles of who asks, by Kubernetes' schemas, by rules that no schema
has, by Pod Security."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import kubernetes_validate

Object = dict[str, Any]
VERSION = "1.31"
_REQUEST = r"/apis?/(?:([^/]+)/)?v1(?:/namespaces/([^/]+))?/([a-z]+)(?:/([^/]+)(/exec|/log)?)?"
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_BASELINE = {
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"),
    *("NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
}


def why_not(item: Object, old: Object | None, namespace: Object) -> tuple[int, str] | None:
    """The code of the answer, and the reason; None: it is taken. ``old``: what it replaces.
    ``namespace``: where a pod is to be; Pod Security judges pods alone."""
    try:
        kubernetes_validate.validate(item, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return 400, error.message
    if old is not None and (refused := _unchangeable(item, old)):
        return refused
    if item["kind"] != "Pod":
        return None
    if old is None and (why := _invalid(item["spec"])):
        return 422, why
    labels = (namespace.get("metadata") or {}).get("labels") or {}
    if labels.get("pod-security.kubernetes.io/enforce") == "baseline":
        why = _beyond_baseline(item)
        return (403, f"is forbidden: violates PodSecurity: {why}") if why else None
    return None


def allows(roles: Iterable[Object], method: str, path: str) -> bool:
    """Whether one of these roles, in its namespace, allows a request. What discovers the API is
    everybody's; a command is executed by GET, for which newer servers want ``create``."""
    if not (asked := re.fullmatch(_REQUEST, path)):
        return True
    group, namespace, resource, name, below = asked.groups("")
    verb = _VERBS.get(method, "get" if name else "list")
    verbs = {verb, "create"} if below == "/exec" else {verb}
    return any(
        group in rule["apiGroups"]
        and resource + below in rule["resources"]
        and verbs <= set(rule["verbs"])
        for role in roles
        for rule in role["rules"]
        if role["kind"] == "ClusterRole" or role["metadata"]["namespace"] == namespace
    )


def _unchangeable(item: Object, old: Object) -> tuple[int, str] | None:
    if item["kind"] == "Job" and item["spec"]["template"] != old["spec"]["template"]:
        return 422, "spec.template: field is immutable"
    if item["kind"] == "Pod" and _names(item["spec"]) != _names(old["spec"]):
        return 422, "spec.containers: Forbidden: pod updates may not add or remove containers"
    version = item["metadata"].get("resourceVersion")
    if version not in (None, old["metadata"]["resourceVersion"]):
        return 409, "the object has been modified"
    return None


def _names(spec: Object) -> list[list[str]]:
    return [[one["name"] for one in spec.get(k, ())] for k in ("containers", "initContainers")]


def _invalid(spec: Object) -> str:
    """What no schema says of a new pod, as far as it concerns copies of pods."""
    volumes = {one["name"] for one in spec.get("volumes", ())}
    for one in (*spec["containers"], *spec.get("initContainers", ())):
        for mount in one.get("volumeMounts", ()):
            if mount["name"] not in volumes:
                return f'spec.containers.volumeMounts.name: Not found: "{mount["name"]}"'
        context = one.get("securityContext") or {}
        if context.get("privileged") and context.get("allowPrivilegeEscalation") is False:
            return "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
    if spec.get("ephemeralContainers"):
        return "ephemeralContainers: Forbidden: cannot be set on create"
    return ""


def _beyond_baseline(pod: Object) -> str:
    spec = pod["spec"]
    ports = [port for one in spec["containers"] for port in one.get("ports", ())]
    if any(port.get("hostPort") for port in ports):
        return "hostPort"
    shared = any(spec.get(key) for key in ("hostPID", "hostIPC", "hostNetwork"))
    if shared or any("hostPath" in one for one in spec.get("volumes", ())):
        return "host namespaces or hostPath volumes"
    for one in spec["containers"]:
        context = one.get("securityContext") or {}
        added = set((context.get("capabilities") or {}).get("add") or ())
        if context.get("privileged") or not added <= _BASELINE:
            return f"container {one['name']}"
    return ""
