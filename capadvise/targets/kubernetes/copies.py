"""Pods made of a workload's template: canaries, and questions to a server. Pure."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from capadvise.config.kubernetes.admission import PodOwner
from capadvise.model.errors import BadInput
from capadvise.targets.kubernetes.objects import Object, beginning_of, name_of, ours, template_of

_OF_A_RUNNING_POD = ("nodeName", "activeDeadlineSeconds", "ephemeralContainers", "schedulingGates")
_TOKEN = "kube-api-access-"
"""The prefix of the volume that the server adds to each pod."""


def canary(
    template: Mapping[str, Any],
    owner: PodOwner,
    run: str,
    number: int,
    *,
    seconds: int,
    node: str = "",
    claims: Mapping[str, str] | None = None,
) -> Object:
    """A pod of the template that no Service selects, and that is not restarted. Empty volumes
    replace those in ``claims``. Raises BadInput if a copy would disturb running pods."""
    spec = {key: value for key, value in template["spec"].items() if key not in _OF_A_RUNNING_POD}
    if spec.get("hostNetwork"):
        raise BadInput(
            f"{owner.kind.lower()}/{owner.name} uses the network of its node: a canary would want "
            "the ports of the pod that runs there"
        )
    spec |= {"restartPolicy": "Never", "activeDeadlineSeconds": seconds}
    # Otherwise a copy that must keep away from all replicas runs nowhere.
    spec.pop("topologySpreadConstraints", None)
    affinity = dict(spec.get("affinity") or {})
    if affinity.pop("podAntiAffinity", None):
        spec |= {"affinity": affinity}
    spec |= {"nodeName": node} if node else {}
    spec |= {"volumes": list(_volumes(spec, claims or {}))} if spec.get("volumes") or claims else {}
    spec |= _containers(spec, _copied)
    name = f"{beginning_of(owner).rstrip('-.')}-canary-{run}-{number}"
    metadata: Object = {
        "name": name,
        "namespace": owner.namespace,
        "labels": ours(run),
    }
    if annotations := (template.get("metadata") or {}).get("annotations"):
        metadata["annotations"] = annotations
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def replica(workload: Object, owner: PodOwner, spec: Object) -> Object:
    """A pod as the workload makes them, to ask the server about. It is not for a canary: webhooks
    see its labels and its ports. A StatefulSet's volumes for each pod are empty here."""
    spec = {key: value for key, value in spec.items() if key not in _OF_A_RUNNING_POD}
    made = (workload.get("spec") or {}).get("volumeClaimTemplates") or ()
    volumes = list(_volumes(spec, {name_of(one): "" for one in made}))
    metadata = template_of(workload).get("metadata") or {}
    kept = {key: metadata[key] for key in ("labels", "annotations") if metadata.get(key)}
    named = {"name": f"{beginning_of(owner).rstrip('-.')}-dry-run", "namespace": owner.namespace}
    spec |= {"volumes": volumes, **_containers(spec, _without_token)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": kept | named, "spec": spec}


def _volumes(spec: Object, empty: Mapping[str, str]) -> Iterator[Object]:
    for one in spec.get("volumes") or ():
        if one["name"] not in empty and not one["name"].startswith(_TOKEN):
            yield one
    yield from ({"name": name, "emptyDir": {}} for name in empty)


def _containers(spec: Object, change: Callable[[Object], Object]) -> Object:
    kinds = ("containers", "initContainers")
    return {kind: [change(one) for one in spec[kind]] for kind in kinds if kind in spec}


def _copied(container: Object) -> Object:
    """A container without the ports of its node, which the running pod has, and the server's
    volume."""
    copy = _without_token(container)
    if copy.get("ports"):
        copy["ports"] = [
            {k: v for k, v in port.items() if k not in ("hostPort", "hostIP")}
            for port in copy["ports"]
        ]
    return copy


def _without_token(container: Object) -> Object:
    mounts = container.get("volumeMounts") or ()
    kept = [one for one in mounts if not str(one["name"]).startswith(_TOKEN)]
    return container | {"volumeMounts": kept} if mounts else dict(container)
