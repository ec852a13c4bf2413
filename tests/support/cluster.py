"""A stand-in for the API server of a cluster, for kubectl: it answers from what it was given.

It is kept honest by Kubernetes' own schemas, which judge all that is sent; by Pod Security, as its
page has it, where a namespace enforces a level; and by the tests of ``tests/cluster``, which do the
same with a real one. What a kubelet would do is the test's to say, or a real containerd's
(``tests.support.kubelet``).
"""

from __future__ import annotations

import copy
import hashlib
import threading
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.cluster_rules import VERSION, Object, allows, why_not

_GROUPS = {
    "/api/v1": ("namespaces", "pods", "events", "configmaps", "persistentvolumeclaims"),
    "/apis/apps/v1": ("deployments", "statefulsets", "daemonsets", "replicasets"),
    "/apis/batch/v1": ("jobs", "cronjobs"),
}
_KINDS = {
    "namespaces": "Namespace",
    "pods": "Pod",
    "events": "Event",
    "configmaps": "ConfigMap",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "deployments": "Deployment",
    "statefulsets": "StatefulSet",
    "daemonsets": "DaemonSet",
    "replicasets": "ReplicaSet",
    "jobs": "Job",
    "cronjobs": "CronJob",
}
CODES = {
    **{400: "BadRequest", 403: "Forbidden", 404: "NotFound", 409: "AlreadyExists"},
    422: "Invalid",
}
Exec = Callable[["Cluster", str, str, str, list[str]], tuple[str, int]]
"""Namespace, pod, container, command → what it prints, and its exit status."""


class Refused(Exception):
    """What the server has against a request."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Cluster:
    """What the server has, by path, and who acts on it."""

    def __init__(self, namespace: str = "prod") -> None:
        self.namespace = namespace
        """Where workloads are."""
        self.lock = threading.RLock()
        self.objects: dict[str, Object] = {}
        self.requests: list[tuple[str, str]] = []
        """Method and path of all that changed something or executed a command."""
        self.started: Callable[[Cluster, Object], None] = lambda cluster, pod: cluster.run(pod)
        """Is told of each new pod."""
        self.ended: Callable[[Cluster, Object], None] = lambda cluster, pod: None
        self.changed: Callable[[Cluster, Object], None] = lambda cluster, pod: None
        """Is told of each pod whose images were changed."""
        self.read: Callable[[Cluster, str], None] = lambda cluster, path: None
        """Is told of each path that is read, before it is answered."""
        self.execute: Exec = lambda cluster, namespace, pod, container, words: ("", 0)
        self.seen: list[Object] = []
        """For a test, which pods were started."""
        self.rollout_seconds = 0.0
        """Before the new pods of a changed deployment come."""
        self.grace_seconds = 0.0
        """For a pod to end, during which it is there."""
        self.mutates: Callable[[Object], Object] = lambda pod: pod
        """A webhook, for new pods."""
        self.refuses: Callable[[str, str, Object], str | None] = lambda method, path, item: None
        """Why a request is forbidden."""
        self.roles: Sequence[Object] | None = None
        """Those of who asks; None: everything is allowed."""
        self.put("/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": namespace}})

    # ------------------------------------------------------------------ objects

    def put(self, path: str, item: Object) -> Object:
        """A new object, without any question."""
        with self.lock:
            plural = path.rsplit("/", 1)[1]
            made = copy.deepcopy(item)
            made.setdefault("kind", _KINDS[plural])
            made.setdefault("apiVersion", path.split("/namespaces")[0].removeprefix("/apis/"))
            made["apiVersion"] = made["apiVersion"].removeprefix("/api/")
            metadata = made["metadata"]
            metadata.setdefault("uid", str(uuid.uuid4()))
            metadata["resourceVersion"] = str(len(self.requests) + 1)
            if plural != "namespaces" and "/namespaces/" in path:
                metadata["namespace"] = path.split("/namespaces/")[1].split("/")[0]
            self.objects[f"{path}/{metadata['name']}"] = made
            return made

    def pods(self, namespace: str) -> list[Object]:
        """Those of a namespace."""
        before = f"/api/v1/namespaces/{namespace}/pods/"
        with self.lock:
            return [item for path, item in self.objects.items() if path.startswith(before)]

    def run(self, pod: Object, *, ready: bool = True) -> None:
        """A pod that runs; ``ready``: its probes say so."""
        self.status(pod, phase="Running", ready=ready, state={"running": {}})

    def end(self, pod: Object, code: int, message: str = "") -> None:
        """A pod of which the containers have ended."""
        state = {"terminated": {"exitCode": code, "reason": "Error", "message": message}}
        self.status(pod, phase="Failed" if code else "Succeeded", ready=False, state=state)

    def status(self, pod: Object, *, phase: str, ready: bool, state: Object) -> None:
        """What a kubelet tells of a pod."""
        with self.lock:
            pod["status"] = {
                "phase": phase,
                "podIP": "192.0.2.2",
                "conditions": [{"type": "Ready", "status": str(ready)}],
            }
            for kind in ("container", "initContainer"):
                pod["status"][f"{kind}Statuses"] = [
                    {
                        "name": one["name"],
                        "ready": ready,
                        "restartCount": pod.get("restarts", 0),
                        "image": one["image"],
                        "imageID": f"x@sha256:{digest(one['image'])}",
                        "state": state,
                    }
                    for one in pod["spec"].get(f"{kind}s", ())
                ]

    def deployment(self, name: str, template: Object, replicas: int, nodes: Sequence[str]) -> None:
        """One, and its pods."""
        labels = {"app": name}
        item = {
            "metadata": {"name": name, "generation": 1},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, **template},
            },
        }
        self.put(f"/apis/apps/v1/namespaces/{self.namespace}/deployments", item)
        self.roll(name, "7d4b9c6f5d", nodes)

    def roll(self, name: str, letters: str, nodes: Sequence[str]) -> None:
        """New pods of a deployment, then the old ones go."""
        with self.lock:
            item = self.objects[f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{name}"]
            old = [
                pod for pod in self.pods(self.namespace) if pod["metadata"]["name"].startswith(name)
            ]
            pods = f"/api/v1/namespaces/{self.namespace}/pods"
            owner = {"kind": "ReplicaSet", "name": f"{name}-{letters}", "uid": "x"}
            owner |= {"apiVersion": "apps/v1", "controller": True}
            template = item["spec"]["template"]
            hashed = dict(template["metadata"]["labels"]) | {"pod-template-hash": letters}
            for number in range(item["spec"]["replicas"]):
                metadata = dict(template["metadata"], labels=hashed)
                metadata |= {"name": f"{name}-{letters}-pod{number:02}", "ownerReferences": [owner]}
                spec = dict(template["spec"], nodeName=nodes[number % len(nodes)])
                pod = self.put(pods, {"metadata": metadata, "spec": spec})
                self.started(self, pod)
            for pod in old:
                self._let_end(f"{pods}/{pod['metadata']['name']}")
            numbers = ("replicas", "updatedReplicas", "availableReplicas")
            item["status"] = dict.fromkeys(numbers, item["spec"]["replicas"])
            item["status"]["observedGeneration"] = item["metadata"]["generation"]

    def _let_end(self, path: str) -> None:
        if self.grace_seconds:
            self.objects[path]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            self._later(self.grace_seconds, self.remove, path)
        else:
            self.remove(path)

    def _later(self, seconds: float, call: Callable[..., object], *words: object) -> None:
        timer = threading.Timer(seconds, call, words)
        timer.daemon = True
        timer.start()

    def remove(self, path: str) -> Object:
        """An object, and all that is in a namespace."""
        with self.lock:
            if path not in self.objects:
                raise Refused(404, f'{path.rsplit("/", 2)[1]} "{path.rsplit("/", 1)[1]}" not found')
            gone = self.objects.pop(path)
            inside = [other for other in self.objects if other.startswith(f"{path}/")]
        for other in inside:
            with suppress(Refused):
                self.remove(other)
        if gone["kind"] == "Pod":
            self.ended(self, gone)
        return gone

    # ------------------------------------------------------------------ requests

    def answer(self, method: str, target: str, body: Object | None) -> Object:
        """One request."""
        parts = urlsplit(target)
        path, query = parts.path, {key: one[0] for key, one in parse_qs(parts.query).items()}
        if method == "GET":
            return self._get(path, query)
        dry = query.get("dryRun") == "All"
        if not dry:
            self.requests.append((method, path))
        if why := self.refuses(method, path, body or {}):
            raise Refused(403, why)
        if method == "DELETE":
            return self.remove(path)
        assert body is not None
        with self.lock:
            if method == "POST":
                return self._create(path, body, dry=dry)
            if path not in self.objects:
                raise Refused(404, f'"{path.rsplit("/", 1)[1]}" not found')
            old = self.objects[path]
            new = merged(old, body) if method == "PATCH" else body
            self._judge({k: v for k, v in new.items() if k != "restarts"}, path, old)
            if dry:
                return new
            self.objects[path] = new
            self._act(old, new)
            return new

    def require(self, method: str, path: str) -> None:
        """Raises Refused for a request that no role allows."""
        if self.roles is not None and not allows(self.roles, method, path):
            raise Refused(403, f"forbidden: {method} {path}")

    def _act(self, old: Object, new: Object) -> None:
        if new["kind"] == "Pod" and _images(old) != _images(new):
            new["restarts"] = old.get("restarts", 0) + 1
            self.changed(self, new)
        elif new["kind"] == "Deployment" and old["spec"]["template"] != new["spec"]["template"]:
            nodes = [pod["spec"]["nodeName"] for pod in self.pods(self.namespace)]
            new["metadata"]["generation"] = old["metadata"]["generation"] + 1
            name = new["metadata"]["name"]
            if self.rollout_seconds:
                self._later(self.rollout_seconds, self.roll, name, "c4d4b9bb6f", nodes)
            else:
                self.roll(name, "c4d4b9bb6f", nodes)

    def _get(self, path: str, query: dict[str, str]) -> Object:
        if found := _discovery(path):
            return found
        with self.lock:
            self.read(self, path)
            if path in self.objects:
                return copy.deepcopy(self.objects[path])
            if path.rsplit("/", 1)[1] not in _KINDS:
                raise Refused(404, f'{path.rsplit("/", 2)[1]} "{path.rsplit("/", 1)[1]}" not found')
            items = [
                copy.deepcopy(item)
                for at, item in self.objects.items()
                if at.rsplit("/", 1)[0] == path
                and _selected(item, query.get("labelSelector", ""))
                and _has_fields(item, query.get("fieldSelector", ""))
            ]
        first, size = int(query.get("continue", 0)), int(query.get("limit", 0)) or len(items) or 1
        more = {"continue": str(first + size)} if first + size < len(items) else {}
        page = items[first : first + size]
        return {"kind": "List", "apiVersion": "v1", "metadata": more, "items": page}

    def _create(self, path: str, item: Object, *, dry: bool) -> Object:
        name = item["metadata"]["name"]
        namespace = path.split("/namespaces/")[1].split("/")[0] if "/namespaces/" in path else ""
        if namespace and f"/api/v1/namespaces/{namespace}" not in self.objects:
            raise Refused(404, f'namespaces "{namespace}" not found')
        if f"{path}/{name}" in self.objects:
            raise Refused(409, f'"{name}" already exists')
        item = self.mutates(item) if item["kind"] == "Pod" else item
        self._judge(item, f"{path}/{name}")
        if dry:
            return item
        made = self.put(path, item)
        if made["kind"] == "Pod":
            self.started(self, made)
        return made

    def _judge(self, item: Object, path: str, old: Object | None = None) -> None:
        namespace = self.objects.get(path.rsplit("/", 2)[0], {}) if item["kind"] == "Pod" else {}
        if refused := why_not(item, old, namespace):
            raise Refused(refused[0], f"{path}: {refused[1]}")


def digest(image: str) -> str:
    """The digest of an image; one is named by its digest or by its name."""
    return image.partition("@sha256:")[2] or hashlib.sha256(image.encode()).hexdigest()


def _images(pod: Object) -> list[str]:
    spec = pod["spec"]
    return [one["image"] for one in (*spec["containers"], *spec.get("initContainers", ()))]


def merged(old: Any, new: Any) -> Any:
    """A merge patch; items of lists that have a name, by name, in the order of what is there."""
    if isinstance(old, dict) and isinstance(new, dict):
        said = (
            (key, value) for key, value in new.items() if not key.startswith("$setElementOrder")
        )
        both = {key: merged(old.get(key), value) for key, value in said}
        return {key: value for key, value in (old | both).items() if value is not None}
    if isinstance(old, list) and isinstance(new, list) and new and _are_named(new):
        by_name = {one["name"]: one for one in new}
        return [merged(one, by_name.pop(one["name"], {})) for one in old] + list(by_name.values())
    return new


def _are_named(items: list[Any]) -> bool:
    return all(isinstance(one, dict) and "name" in one for one in items)


def _selected(item: Object, selector: str) -> bool:
    labels = item["metadata"].get("labels") or {}
    for word in filter(None, selector.split(",")):
        key, equal, value = word.partition("=")
        if labels.get(key) is None or (equal and labels[key] != value):
            return False
    return True


def _has_fields(item: Object, selector: str) -> bool:
    for word in filter(None, selector.split(",")):
        path, _, value = word.partition("=")
        found: Any = item
        for key in path.split("."):
            found = found.get(key, {})
        if found != value:
            return False
    return True


def _discovery(path: str) -> Object | None:
    groups = [each.removeprefix("/apis/") for each in _GROUPS if each.startswith("/apis/")]
    if path == "/version":
        return {"major": "1", "minor": "31", "gitVersion": f"v{VERSION}.0"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        versions = [{"groupVersion": each, "version": "v1"} for each in groups]
        return {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [
                {"name": each.partition("/")[0], "versions": [one], "preferredVersion": one}
                for each, one in zip(groups, versions, strict=True)
            ],
        }
    if path not in _GROUPS:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": path.removeprefix("/apis/").removeprefix("/api/"),
        "resources": [
            {
                "name": plural,
                "singularName": _KINDS[plural].lower(),
                "namespaced": plural != "namespaces",
                "kind": _KINDS[plural],
                "verbs": ["create", "delete", "get", "list", "patch", "update"],
            }
            for plural in _GROUPS[path]
        ],
    }
