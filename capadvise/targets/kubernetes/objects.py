"""The parts of a cluster's objects that capadvise reads, and the pods that observe others. Pure."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from capadvise.config.kubernetes.admission import PodOwner

Object = dict[str, Any]
OBSERVERS = "capadvise"
"""The namespace of the observers."""
RUN = "capadvise.run"
"""The label of all that is made; its value is the same for all of one call."""
_MANAGED_BY = "app.kubernetes.io/managed-by"
_API = {
    "Deployment": "/apis/apps/v1",
    "StatefulSet": "/apis/apps/v1",
    "DaemonSet": "/apis/apps/v1",
    "ReplicaSet": "/apis/apps/v1",
    "Rollout": "/apis/argoproj.io/v1alpha1",
    "Job": "/apis/batch/v1",
    "CronJob": "/apis/batch/v1",
    "Pod": "/api/v1",
}
RESTARTABLE = ("Deployment", "StatefulSet", "DaemonSet")
"""Kinds that ``kubectl rollout restart`` takes."""
_LOCAL = 40
"""The names of a workload's pods begin with this many letters of its name: longer names are cut."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}$")

COLLECT = (
    "cd /reports; [ -e done ] || kill $(cat pid) 2>/dev/null; "  # asked twice: it may be another's
    "n=0; while [ ! -e done ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done; cat reports.json"
)
"""In an observer: end the recording, and print the reports."""


def path_of(owner: PodOwner) -> str:
    """The server's path of a workload."""
    return f"{_API[owner.kind]}/namespaces/{owner.namespace}/{owner.kind.lower()}s/{owner.name}"


def jobs_of(jobs: Iterable[Object], owner: PodOwner) -> set[str]:
    """The names of those that a CronJob owns, also of those that were made by hand."""
    maker = ("CronJob", owner.name)
    return {
        name_of(job)
        for job in jobs
        for one in job["metadata"].get("ownerReferences") or ()
        if (one["kind"], one["name"]) == maker
    }


def is_rolled_out(workload: Object) -> bool:
    """True if all pods are of the present template, and work, as ``rollout status`` says."""
    status, metadata = workload.get("status") or {}, workload["metadata"]
    if int(status.get("observedGeneration") or 0) < int(metadata.get("generation") or 0):
        return False
    wanted = status.get("desiredNumberScheduled", (workload.get("spec") or {}).get("replicas", 1))
    now = (status.get("updatedReplicas", 0), status.get("availableReplicas", 0))
    if "desiredNumberScheduled" in status:
        now = (status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0))
    return bool(min(now) >= wanted >= status.get("replicas", 0))


def pods_path(namespace: str, pod: str = "") -> str:
    """The server's path of the pods of a namespace, or of one of them."""
    return f"/api/v1/namespaces/{namespace}/pods" + (f"/{pod}" if pod else "")


def selector_of(workload: Object) -> str:
    """The labels of its pods, as a query; empty if it names none."""
    selector = (workload.get("spec") or {}).get("selector") or {}
    words = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for one in selector.get("matchExpressions") or ():
        key, values = one["key"], ",".join(one.get("values") or ())
        operator = str(one["operator"])
        words.append(
            {
                "In": f"{key} in ({values})",
                "NotIn": f"{key} notin ({values})",
                "Exists": key,
                "DoesNotExist": f"!{key}",
            }[operator]
        )
    return ",".join(words)


def template_of(workload: Object) -> Object:
    """The template of its pods; for a pod, its own specification."""
    spec = workload.get("spec") or {}
    if workload.get("kind") == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    if workload.get("kind") != "Pod":
        return dict(spec["template"])
    metadata = workload.get("metadata") or {}
    kept = {key: metadata[key] for key in ("labels", "annotations") if metadata.get(key)}
    return {"metadata": kept, "spec": spec}


def node_of(pod: Object) -> str:
    """The node on which it runs; empty if it is not scheduled."""
    return str((pod.get("spec") or {}).get("nodeName") or "")


def name_of(item: Object) -> str:
    """The name of an object."""
    return str(item["metadata"]["name"])


def is_ours(item: Object, run: str | None = None) -> bool:
    """True if capadvise made it; ``run``: in this call."""
    labels = item["metadata"].get("labels") or {}
    return labels.get(_MANAGED_BY) == "capadvise" and run in (None, labels.get(RUN))


def image_digests(pod: Object) -> dict[str, str]:
    """The digest of the image of each of its containers that was started, by its name."""
    status = pod.get("status") or {}
    kinds = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    every = [one for kind in kinds for one in status.get(kind) or ()]
    digests = {one["name"]: _DIGEST.search(one.get("imageID") or "") for one in every}
    return {name: match[0] for name, match in digests.items() if match}


def ours(run: str) -> Object:
    """The labels of all that one call makes."""
    return {RUN: run, _MANAGED_BY: "capadvise"}


def beginning_of(owner: PodOwner) -> str:
    """The beginning of the names of its pods."""
    return owner.name[:_LOCAL]


def watched(owner: PodOwner) -> str:
    """The pods that an observer attaches to: a workload's, and others with such names. The jobs of
    a CronJob that were made by hand have any name."""
    return f"{owner.namespace}/{'' if owner.kind == 'CronJob' else beginning_of(owner)}*"


def observer(owner: PodOwner, node: str, name: str, run: str, image: str, seconds: int) -> Object:
    """The pod that observes those of a node, and ends after this many seconds. AppArmor's and
    SELinux's defaults would forbid it to write below /sys, and to look at others."""
    pod = _observers()["pod"]
    pod["metadata"] |= {"name": name, "labels": ours(run)}
    pod["spec"] |= {"nodeName": node, "activeDeadlineSeconds": seconds}
    script = Path(__file__).with_name("observer.sh").read_text(encoding="utf-8")
    (container,) = pod["spec"]["containers"]
    container |= {"image": image, "command": ["sh", "-c", script, "observer", watched(owner)]}
    return pod


def observers_namespace() -> Object:
    """The namespace: if Pod Security is enforced, ``hostPID`` and ``hostPath`` need its label."""
    return _observers()["namespace"]


def _observers() -> dict[str, Object]:
    made: dict[str, Object] = json.loads(
        Path(__file__).with_name("observer.json").read_text(encoding="utf-8")
    )
    return made


def claims_of(workload: Object) -> dict[str, str]:
    """The volumes of its pods that keep data: name → claim. Those that a StatefulSet has made for
    each pod have no name of their own."""
    volumes = template_of(workload)["spec"].get("volumes") or ()
    claims = {
        one["name"]: str(one["persistentVolumeClaim"]["claimName"])
        for one in volumes
        if one.get("persistentVolumeClaim")
    }
    made = (workload.get("spec") or {}).get("volumeClaimTemplates") or ()
    return claims | {name_of(one): "" for one in made}


def trouble(pod: Object) -> str | None:
    """Why a pod will not run, or has ended; None while nothing says so."""
    status = pod.get("status") or {}
    states = [one.get("state") or {} for one in status.get("containerStatuses") or ()]
    if status.get("phase") in _ENDED:
        return _why_ended(status, states)
    waiting = [state["waiting"] for state in states if state.get("waiting")]
    for one in waiting:
        if one.get("reason") in _HOPELESS:
            return f"{one['reason']}: {one.get('message') or ''}".rstrip(": ")
    return None


def disturbance(pod: Object) -> str | None:
    """The outside reason for the end of a pod: an eviction, a full node, a deletion."""
    status = pod.get("status") or {}
    if status.get("phase") == "Failed" and status.get("reason"):
        return f"{status['reason']}: {status.get('message') or ''}".rstrip(": ")
    return "it was deleted" if pod["metadata"].get("deletionTimestamp") else None


def delay(pod: Object) -> str:
    """The reason why no container of it runs yet, as the server reports it."""
    status = pod.get("status") or {}
    every = (one for kind in _STATUSES for one in status.get(kind) or ())
    reasons = [(one.get("state") or {}).get("waiting") or {} for one in every]
    reasons += [one for one in status.get("conditions") or () if one.get("status") == "False"]
    why = (f"{one['reason']}: {one['message']}" for one in reasons if one.get("message"))
    return next(why, f"it is {status.get('phase') or 'Pending'}")


def cannot_start(pod: Object) -> bool:
    """True if it will never start."""
    status = pod.get("status") or {}
    every = (one for kind in _STATUSES for one in status.get(kind) or ())
    reasons = {((one.get("state") or {}).get("waiting") or {}).get("reason") for one in every}
    return status.get("phase") in _ENDED or not reasons.isdisjoint(_NEVER)


def _why_ended(status: Object, states: Iterable[Object]) -> str:
    ended = [state["terminated"] for state in states if state.get("terminated")]
    words = [one.get("message") or one.get("reason") for one in ended]
    messages = (str(word or "").strip() for word in (*words, status.get("message")))
    lines = next(filter(None, messages), f"it is {status['phase']}").splitlines()
    errors = [line for line in lines if line.startswith(_ERROR)]  # our errors end with a hint
    return (errors or lines)[-1].removeprefix(_ERROR)


_ERROR = "capadvise: error: "


_ENDED = ("Failed", "Succeeded")
_NEVER = (
    *("InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"),
    "CreateContainerError",
)
_HOPELESS = (*_NEVER, "ErrImagePull", "ImagePullBackOff", "RunContainerError")
_STATUSES = ("containerStatuses", "initContainerStatuses")


def has_ended(pod: Object) -> bool:
    """True if nothing in it runs any more."""
    return (pod.get("status") or {}).get("phase") in _ENDED


def is_ready(pod: Object) -> bool:
    """True if its probes say so."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
