"""Policies that keep a workload's pods at the capabilities of its reports: Kubernetes' own
ValidatingAdmissionPolicy, and Kyverno's form of it. Pure.

Each workload has one policy, which contains all that it needs to know: a server refuses all pods of
a namespace while a parameter of a policy is missing (kubernetes#130887), and a policy that several
workloads share is removed with the first. Pods are judged, for what makes them is not what runs:
when they are created, and when a container is added to one that runs (``kubectl debug``), that
container alone. The expressions are in the core of CEL: they can be tried without a cluster.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from capadvise.config.kubernetes.manifests import is_object_name
from capadvise.model.caps import CapSet
from capadvise.model.errors import BadInput

_KINDS = {
    "Deployment": ("deployments", "deployment", "deploy"),
    "StatefulSet": ("statefulsets", "statefulset", "sts"),
    "DaemonSet": ("daemonsets", "daemonset", "ds"),
    "ReplicaSet": ("replicasets", "replicaset", "rs"),
    "Rollout": ("rollouts", "rollout", "ro"),
    "Job": ("jobs", "job"),
    "CronJob": ("cronjobs", "cronjob", "cj"),
    "Pod": ("pods", "pod", "po"),
}
"""Kind → the words for it that kubectl takes."""
_HASHES = {"Deployment": "pod-template-hash", "Rollout": "rollouts-pod-template-hash"}
"""Kind of a workload that makes ReplicaSets → the label of its pods with the end of their names."""
_SCHEDULED = "-[0-9]{8,10}$"
"""The end of the name of a CronJob's jobs: the time, in minutes, or in seconds before 1.21."""
_LONGEST = 63
"""The most letters of the name of a policy: Kyverno makes a label of it."""
_PRIVILEGED = (
    "has(c.securityContext) && has(c.securityContext.privileged) && c.securityContext.privileged"
)
_CAPABILITIES = "has(c.securityContext) && has(c.securityContext.capabilities)"
_ADDS = f"{_CAPABILITIES} && has(c.securityContext.capabilities.add)"
_DROPS = (
    f"{_CAPABILITIES} && has(c.securityContext.capabilities.drop) && "
    "c.securityContext.capabilities.drop.exists(d, d == 'ALL')"
)
_OF_ITS_OWN = "c.name in variables.allowed"


def _beyond(containers: str, allowed: str) -> str:
    """The containers that add what is not in a list, each with the first of these."""
    extra = f"!{allowed}.contains(',' + a + ',')"
    adds = "c.securityContext.capabilities.add"
    return (
        f"{containers}.filter(c, {_ADDS} && {adds}.exists(a, {extra}))"
        f".map(c, c.name + ' adds ' + {adds}.filter(a, {extra})[0])"
    )


_DEBUG = "has(request.subResource) && request.subResource == 'ephemeralcontainers'"
"""A server leaves the subresource out of a request that has none."""
_JOB_OR_POD = "request.kind.kind == 'Job' ? dyn(object).spec.template.spec : dyn(object).spec"
_JUDGED: Mapping[str, str] = {
    "containers": (
        "variables.debug ? [] : variables.spec.containers + "
        "(has(variables.spec.initContainers) ? variables.spec.initContainers : [])"
    ),
    "added": (
        "!variables.debug || !has(object.spec.ephemeralContainers) ? [] : "
        "object.spec.ephemeralContainers.filter(c, !has(oldObject.spec.ephemeralContainers) || "
        "!oldObject.spec.ephemeralContainers.exists(o, o.name == c.name))"
    ),
    "known": f"variables.containers.filter(c, {_OF_ITS_OWN})",
    "others": f"variables.containers.filter(c, !({_OF_ITS_OWN}))",
    "privileged": (
        f"variables.containers.filter(c, {_PRIVILEGED}).map(c, c.name) + "
        f"variables.added.filter(c, {_PRIVILEGED}).map(c, c.name)"
    ),
    "beyond": " + ".join(
        (
            _beyond("variables.known", "variables.allowed[c.name]"),
            _beyond("variables.others", "variables.allowedOthers"),
            _beyond("variables.added", "variables.allowedDebug"),
        )
    ),
    "undropped": f"variables.known.filter(c, !({_DROPS})).map(c, c.name)",
}
"""In this order: each may use those before it."""
_REPORT = "; report: ' + variables.report"
VALIDATIONS: tuple[tuple[str, str], ...] = (
    (
        "!variables.mine || size(variables.privileged) == 0",
        f"'capadvise: container ' + variables.privileged[0] + ' is privileged{_REPORT}",
    ),
    (
        "!variables.mine || size(variables.beyond) == 0",
        f"'capadvise: container ' + variables.beyond[0] + ', which no report needs{_REPORT}",
    ),
    (
        "!variables.mine || size(variables.undropped) == 0",
        f"'capadvise: container ' + variables.undropped[0] + ' lacks drop: [ALL]{_REPORT}",
    ),
)
"""Expression, and what is said where it is false."""


@dataclass(frozen=True, slots=True)
class PodOwner:
    """A workload, which makes pods."""

    kind: str
    name: str
    namespace: str

    @classmethod
    def parse(cls, text: str, namespace: str) -> PodOwner:
        """``deploy/web``. Raises BadInput."""
        short, _, name = text.partition("/")
        kind = next((kind for kind, words in _KINDS.items() if short.lower() in words), None)
        if kind is None or not all(map(is_object_name, (name, namespace))):
            raise BadInput(
                f"{text!r:.80} in {namespace!r:.80} is no workload",
                hint=f"KIND/NAME, such as deployment/web; kinds: {', '.join(_KINDS)}",
            )
        return cls(kind, name, namespace)

    def makes(self, pod: Mapping[str, Any], jobs: Collection[str] = ()) -> bool:
        """True if it made a pod. ``jobs``: the names of the jobs that a CronJob owns."""
        metadata = pod["metadata"]
        owners = metadata.get("ownerReferences") or ()
        if self.kind == "Pod":
            return not owners and metadata["name"] == self.name
        hashed, scheduled = self._hash(metadata), f"^{re.escape(self.name)}{_SCHEDULED}"
        if self.kind == "CronJob":
            names = [one["name"] for one in owners if one["kind"] == "Job"]
            return any(name in jobs or re.search(scheduled, name) for name in names)
        maker = ("ReplicaSet", hashed) if self.kind in _HASHES else (self.kind, self.name)
        return any((one["kind"], one["name"]) == maker for one in owners)

    def _hash(self, metadata: Mapping[str, Any]) -> str:
        """The name of the ReplicaSet that made a pod, by the pod's label."""
        label = _HASHES.get(self.kind, "")
        return f"{self.name}-{(metadata.get('labels') or {}).get(label, '')}"

    @property
    def mine(self) -> str:
        """The expression that is true for what it makes."""
        name, named = _text(self.name), "has(object.metadata.name) && object.metadata.name"
        if self.kind == "Pod":
            return f"size(variables.owners) == 0 && {named} == {name}"
        if self.kind == "CronJob":
            scheduled = _text(f"^{self.name.replace('.', '[.]')}{_SCHEDULED}")
            return (
                f"variables.owners.exists(o, o.kind == 'CronJob' && o.name == {name} && "
                f"!({named}.matches({scheduled})) || "
                f"o.kind == 'Job' && o.name.matches({scheduled}))"
            )
        if label := _HASHES.get(self.kind):
            return (
                f"has(object.metadata.labels) && '{label}' in object.metadata.labels && "
                "variables.owners.exists(o, o.kind == 'ReplicaSet' && o.name == "
                f"{_text(f'{self.name}-')} + object.metadata.labels['{label}'])"
            )
        return f"variables.owners.exists(o, o.kind == '{self.kind}' && o.name == {name})"

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def label(self) -> str:
        """The name of its policy, which no other workload's has: neither a namespace nor a kind
        contains a dot."""
        name = f"capadvise.{self.namespace}.{self.kind.lower()}.{self.name}"
        if len(name) <= _LONGEST:
            return name
        hashed = hashlib.sha256(name.encode()).hexdigest()[:16]
        return f"{name[: _LONGEST - 17].rstrip('-.')}.{hashed}"


@dataclass(frozen=True, slots=True)
class Allowed:
    """The capabilities that a container may add."""

    container: str
    caps: CapSet
    report: str
    """The report that says so."""


def _variables(
    workload: PodOwner, allowed: tuple[Allowed, ...], *, debug: str, spec: str
) -> list[dict[str, str]]:
    """Lists are texts with a comma at both ends of each name: CEL has no cheaper way to look into
    one."""
    sets = ", ".join(f"{_text(one.container)}: {_text(_listed(one.caps))}" for one in allowed)
    reports = ", ".join(sorted({one.report for one in allowed}))
    known = {
        "allowed": f"{{{sets}}}",
        "allowedOthers": "','",
        "allowedDebug": "',SYS_PTRACE,'",
        "report": _text(reports),
        "owners": "has(object.metadata.ownerReferences) ? object.metadata.ownerReferences : []",
        "mine": workload.mine,
        "debug": debug,
        "spec": spec,
        **_JUDGED,
    }
    return [{"name": name, "expression": expression} for name, expression in known.items()]


def _text(text: str) -> str:
    """A literal of CEL, whose escapes are those of JSON."""
    return json.dumps(text, ensure_ascii=False)


def _listed(caps: CapSet) -> str:
    return f",{''.join(f'{cap.short},' for cap in sorted(caps))}"


def _validations() -> list[dict[str, str]]:
    return [{"expression": each, "messageExpression": message} for each, message in VALIDATIONS]


_API = "admissionregistration.k8s.io/v1"
_REQUESTS = (("CREATE", "", "pods"), ("UPDATE", "", "pods/ephemeralcontainers"))
_JOBS = ("CREATE", "batch", "jobs")
"""Only of a CronJob: nothing in a pod tells that its job was made by ``create job --from``."""


def _policy(
    workload: PodOwner, allowed: tuple[Allowed, ...], *, warn: bool
) -> Iterator[dict[str, Any]]:
    metadata = {"name": workload.label, "labels": {"app.kubernetes.io/part-of": "capadvise"}}
    cron = workload.kind == "CronJob"
    spec = _JOB_OR_POD if cron else "object.spec"
    namespace = {"matchLabels": {"kubernetes.io/metadata.name": workload.namespace}}
    yield {
        "apiVersion": _API,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": metadata,
        "spec": {
            "failurePolicy": "Ignore" if warn else "Fail",
            "matchConstraints": {
                "namespaceSelector": namespace,
                "resourceRules": [
                    {
                        "apiGroups": [group],
                        "apiVersions": ["v1"],
                        "operations": [operation],
                        "resources": [resource],
                    }
                    for operation, group, resource in (*_REQUESTS, *[_JOBS] * cron)
                ],
            },
            "variables": _variables(workload, allowed, debug=_DEBUG, spec=spec),
            "validations": _validations(),
        },
    }
    yield {
        "apiVersion": _API,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": metadata,
        "spec": {
            "policyName": workload.label,
            "validationActions": ["Warn", "Audit"] if warn else ["Deny"],
        },
    }


_KYVERNO_RULES = (
    ("capabilities", "Pod", "CREATE", "object.spec"),
    ("debug", "Pod/ephemeralcontainers", "UPDATE", "object.spec"),
    ("jobs", "Job", "CREATE", "object.spec.template.spec"),
)


def _kyverno(
    workload: PodOwner, allowed: tuple[Allowed, ...], *, warn: bool
) -> Iterator[dict[str, Any]]:
    """A Kyverno policy: its rules of type ``cel`` take the same expressions, for the pods of one
    namespace. These rules do not know the subresource of a request (``validate_cel.go`` passes none
    on), so each subresource has a rule of its own; otherwise every change of an old pod would be
    refused."""
    rules = _KYVERNO_RULES if workload.kind == "CronJob" else _KYVERNO_RULES[:2]
    yield {
        "apiVersion": "kyverno.io/v1",
        "kind": "Policy",
        "metadata": {
            "name": workload.label,
            "namespace": workload.namespace,
            "annotations": {"pod-policies.kyverno.io/autogen-controllers": "none"},
        },
        "spec": {
            "background": False,  # a scan of what runs has no older object to compare with
            "rules": [
                {
                    "name": name,
                    "match": {"any": [{"resources": {"kinds": [kind], "operations": [operation]}}]},
                    "validate": {
                        "failureAction": "Audit" if warn else "Enforce",
                        "cel": {
                            "variables": _variables(
                                workload, allowed, debug=str(name == "debug").lower(), spec=spec
                            ),
                            "expressions": _validations(),
                        },
                    },
                }
                for name, kind, operation, spec in rules
            ],
        },
    }


def render(
    workload: PodOwner, allowed: tuple[Allowed, ...], *, kyverno: bool = False, warn: bool = False
) -> str:
    """The objects, for ``kubectl apply -f``. ``warn``: nothing is refused yet."""
    objects = (_kyverno if kyverno else _policy)(workload, allowed, warn=warn)
    return "---\n".join(yaml.safe_dump(each, sort_keys=False, width=98) for each in objects)
