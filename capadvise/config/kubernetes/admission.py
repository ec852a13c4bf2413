"""Policies that keep a workload's pods at the capabilities of its reports: Kubernetes' own
ValidatingAdmissionPolicy, and Kyverno's form of it. Pure.

There is one policy for all workloads, and for each workload a ConfigMap with what its containers
may add, and a binding. Pods are judged, for what makes them is not what runs: when they are
created, and when a container is added to one that runs (``kubectl debug``), that container alone.
The expressions are in the core of CEL, so that they can be tried without a cluster.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from capadvise.config.kubernetes.manifests import is_object_name
from capadvise.model.caps import CapSet
from capadvise.model.errors import BadInput

POLICY = "capadvise-capabilities"
_KINDS = {
    "Deployment": ("deployments", "deployment", "deploy"),
    "StatefulSet": ("statefulsets", "statefulset", "sts"),
    "DaemonSet": ("daemonsets", "daemonset", "ds"),
    "ReplicaSet": ("replicasets", "replicaset", "rs"),
    "Job": ("jobs", "job"),
    "CronJob": ("cronjobs", "cronjob", "cj"),
    "Pod": ("pods", "pod", "po"),
}
"""Kind → the words for it that kubectl takes."""
_OWNERS = {
    "Deployment": ("ReplicaSet", "-[bcdfghjklmnpqrstvwxz2456789]+"),
    "CronJob": ("Job", "-[0-9]+"),
}
"""Kind of a workload → the kind that makes its pods, and a pattern for the end of that name: for a
ReplicaSet, a hash in the letters that Kubernetes uses for it. Other workloads make pods themselves.
"""
_PRIVILEGED = (
    "has(c.securityContext) && has(c.securityContext.privileged) && c.securityContext.privileged"
)
_CAPABILITIES = "has(c.securityContext) && has(c.securityContext.capabilities)"
_ADDS = f"{_CAPABILITIES} && has(c.securityContext.capabilities.add)"
_DROPS = (
    f"{_CAPABILITIES} && has(c.securityContext.capabilities.drop) && "
    "c.securityContext.capabilities.drop.exists(d, d == 'ALL')"
)
_OF_ITS_OWN = "('container.' + c.name) in params.data"


def _beyond(containers: str, allowed: str) -> str:
    """The containers that add what is not in a list, each with the first of these."""
    extra = f"!{allowed}.contains(',' + a + ',')"
    adds = "c.securityContext.capabilities.add"
    return (
        f"{containers}.filter(c, {_ADDS} && {adds}.exists(a, {extra}))"
        f".map(c, c.name + ' adds ' + {adds}.filter(a, {extra})[0])"
    )


VARIABLES: Mapping[str, str] = {
    "owners": "has(object.metadata.ownerReferences) ? object.metadata.ownerReferences : []",
    "mine": (
        "params.data.owner == 'Pod' ? size(variables.owners) == 0 && has(object.metadata.name) && "
        "object.metadata.name.matches(params.data.name) : variables.owners.exists(o, "
        "o.kind == params.data.owner && o.name.matches(params.data.name))"
    ),
    "debug": "request.subResource == 'ephemeralcontainers'",
    "containers": (
        "variables.debug ? [] : object.spec.containers + "
        "(has(object.spec.initContainers) ? object.spec.initContainers : [])"
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
            _beyond("variables.known", "params.data['container.' + c.name]"),
            _beyond("variables.others", "params.data.others"),
            _beyond("variables.added", "params.data.debug"),
        )
    ),
    "undropped": f"variables.known.filter(c, !({_DROPS})).map(c, c.name)",
}
"""In this order: each may use those before it."""
_REPORT = "; see ConfigMap ' + params.metadata.name + ', report ' + params.data.report"
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

    @property
    def made_by(self) -> tuple[str, str]:
        """The owner of its pods: the kind, and a pattern of the name."""
        owner, more = _OWNERS.get(self.kind, (self.kind, ""))
        return owner, f"^{self.name.replace('.', '[.]')}{more}$"

    def makes(self, pod: Mapping[str, Any]) -> bool:
        """True if it made a pod."""
        kind, pattern = self.made_by
        metadata = pod["metadata"]
        owners = metadata.get("ownerReferences") or ()
        if kind == "Pod":
            return not owners and re.search(pattern, metadata["name"]) is not None
        return any(one["kind"] == kind and re.search(pattern, one["name"]) for one in owners)

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def label(self) -> str:
        """The name of the objects that belong to it."""
        return f"capadvise-{self.kind.lower()}-{self.name}"[:253].rstrip("-.")


@dataclass(frozen=True, slots=True)
class Allowed:
    """The capabilities that a container may add."""

    container: str
    caps: CapSet
    report: str
    """The report that says so."""


def parameters(workload: PodOwner, allowed: tuple[Allowed, ...]) -> dict[str, Any]:
    """The ConfigMap. Lists are texts with a comma at both ends of each name: the language of
    policies has no cheaper way to look into one."""
    owner, name = workload.made_by
    reports = ", ".join(sorted({one.report for one in allowed}))
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": workload.label, "namespace": workload.namespace},
        "data": {
            "owner": owner,
            "name": name,
            "report": reports,
            "others": ",",
            "debug": ",SYS_PTRACE,",
            **{f"container.{one.container}": _listed(one.caps) for one in allowed},
        },
    }


def _listed(caps: CapSet) -> str:
    return f",{''.join(f'{cap.short},' for cap in sorted(caps))}"


def _policy() -> dict[str, Any]:
    rules = (("CREATE", "pods"), ("UPDATE", "pods/ephemeralcontainers"))
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": POLICY},
        "spec": {
            "failurePolicy": "Fail",
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": [operation],
                        "resources": [resource],
                    }
                    for operation, resource in rules
                ]
            },
            "variables": _variables(),
            "validations": _validations(),
        },
    }


def _variables(debug: str = VARIABLES["debug"]) -> list[dict[str, str]]:
    return [{"name": n, "expression": x} for n, x in {**VARIABLES, "debug": debug}.items()]


def _validations() -> list[dict[str, str]]:
    return [{"expression": each, "messageExpression": message} for each, message in VALIDATIONS]


def _parameter(workload: PodOwner) -> dict[str, str]:
    return {
        "name": workload.label,
        "namespace": workload.namespace,
        "parameterNotFoundAction": "Deny",
    }


def _binding(workload: PodOwner, *, warn: bool) -> dict[str, Any]:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": f"{workload.namespace}-{workload.label}"[:253].rstrip("-.")},
        "spec": {
            "policyName": POLICY,
            "paramRef": _parameter(workload),
            "validationActions": ["Warn", "Audit"] if warn else ["Deny"],
            "matchResources": {
                "namespaceSelector": {
                    "matchLabels": {"kubernetes.io/metadata.name": workload.namespace}
                }
            },
        },
    }


def _kyverno(workload: PodOwner, *, warn: bool) -> dict[str, Any]:
    """A Kyverno policy: its rules of type ``cel`` take the same expressions, for the pods of one
    namespace. These rules do not know the subresource of a request (``validate_cel.go`` passes none
    on), so each subresource has a rule of its own; otherwise every change of an old pod would be
    refused."""
    return {
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
                _kyverno_rule(workload, "capabilities", ("Pod", "CREATE"), "false", warn=warn),
                _kyverno_rule(
                    *(workload, "debug", ("Pod/ephemeralcontainers", "UPDATE"), "true"), warn=warn
                ),
            ],
        },
    }


def _kyverno_rule(
    workload: PodOwner, name: str, what: tuple[str, str], debug: str, *, warn: bool
) -> dict[str, Any]:
    return {
        "name": name,
        "match": {"any": [{"resources": {"kinds": [what[0]], "operations": [what[1]]}}]},
        "validate": {
            "failureAction": "Audit" if warn else "Enforce",
            "cel": {
                "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
                "paramRef": _parameter(workload),
                "variables": _variables(debug),
                "expressions": _validations(),
            },
        },
    }


def render(
    workload: PodOwner, allowed: tuple[Allowed, ...], *, kyverno: bool = False, warn: bool = False
) -> str:
    """The objects, for ``kubectl apply -f``. ``warn``: nothing is refused yet."""
    data = parameters(workload, allowed)
    objects = [data, _kyverno(workload, warn=warn)]
    if not kyverno:
        objects = [_policy(), data, _binding(workload, warn=warn)]
    return "---\n".join(yaml.safe_dump(each, sort_keys=False, width=98) for each in objects)
