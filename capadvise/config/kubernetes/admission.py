"""Policies that keep a workload's pods at the capabilities of its reports: Kubernetes' own
ValidatingAdmissionPolicy, and Kyverno's form of it. Pure.

Each workload has one policy, which contains all that it needs to know: a server refuses all pods of
a namespace while a parameter of a policy is missing (kubernetes#130887), and a policy that several
workloads share is removed with the first. Pods are judged, for what makes them is not what runs:
when they are created, and when a container is added to one that runs (``kubectl debug``), that
container alone. The expressions are in ``policy.yaml``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
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
        if self.kind == "CronJob":
            scheduled = f"^{re.escape(self.name)}{_SCHEDULED}"
            names = [one["name"] for one in owners if one["kind"] == "Job"]
            return any(name in jobs or re.search(scheduled, name) for name in names)
        maker = (self.kind, self.name)
        if label := _HASHES.get(self.kind):
            maker = ("ReplicaSet", f"{self.name}-{(metadata.get('labels') or {}).get(label)}")
        return any((one["kind"], one["name"]) == maker for one in owners)

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
    workload: PodOwner, allowed: tuple[Allowed, ...], data: dict[str, Any], debug: str, spec: str
) -> list[dict[str, str]]:
    """Lists are texts with a comma at both ends of each name: CEL has no cheaper way to look into
    one."""
    sets = ", ".join(f"{_text(one.container)}: {_text(_listed(one.caps))}" for one in allowed)
    reports = ", ".join(sorted({one.report for one in allowed}))
    known = data["constants"] | {"allowed": f"{{{sets}}}", "report": _text(reports)}
    known |= {"mine": workload.mine, "debug": debug, "spec": spec, **data["variables"]}
    return [{"name": name, "expression": expression} for name, expression in known.items()]


def _text(text: str) -> str:
    """A literal of CEL, whose escapes are those of JSON."""
    return json.dumps(text, ensure_ascii=False)


def _listed(caps: CapSet) -> str:
    return f",{''.join(f'{cap.short},' for cap in sorted(caps))}"


def _policy(
    workload: PodOwner, allowed: tuple[Allowed, ...], data: dict[str, Any], *, warn: bool
) -> Iterator[dict[str, Any]]:
    jobs = workload.kind == "CronJob"
    spec = data["spec-of-job" if jobs else "spec"]
    namespace = {"matchLabels": {"kubernetes.io/metadata.name": workload.namespace}}
    rules = data["rules"] + data["rules-of-job"] * jobs
    data["policy"]["metadata"]["name"] = data["binding"]["metadata"]["name"] = workload.label
    yield data["policy"] | {
        "spec": {
            "failurePolicy": "Ignore" if warn else "Fail",
            "matchConstraints": {"namespaceSelector": namespace, "resourceRules": rules},
            "variables": _variables(workload, allowed, data, data["debug"], spec),
            "validations": data["validations"],
        },
    }
    actions = ["Warn", "Audit"] if warn else ["Deny"]
    yield data["binding"] | {"spec": {"policyName": workload.label, "validationActions": actions}}


def _kyverno(
    workload: PodOwner, allowed: tuple[Allowed, ...], data: dict[str, Any], *, warn: bool
) -> Iterator[dict[str, Any]]:
    """A Kyverno policy: its rules of type ``cel`` take the same expressions, for the pods of one
    namespace."""
    data["kyverno"]["metadata"] |= {"name": workload.label, "namespace": workload.namespace}
    rules = []
    for rule in data["kyverno-rules"] + data["kyverno-rules-of-job"] * (workload.kind == "CronJob"):
        cel = {
            "variables": _variables(workload, allowed, data, rule["debug"], rule["spec"]),
            "expressions": [dict(each) for each in data["validations"]],
        }
        validate = {"failureAction": "Audit" if warn else "Enforce", "cel": cel}
        rules.append({"name": rule["name"], "match": rule["match"], "validate": validate})
    # A scan of what runs, in the background, has no older object to compare with.
    yield data["kyverno"] | {"spec": {"background": False, "rules": rules}}


def render(
    workload: PodOwner, allowed: tuple[Allowed, ...], *, kyverno: bool = False, warn: bool = False
) -> str:
    """The objects, for ``kubectl apply -f``. ``warn``: nothing is refused yet."""
    data = yaml.safe_load(Path(__file__).with_name("policy.yaml").read_text(encoding="utf-8"))
    objects = (_kyverno if kyverno else _policy)(workload, allowed, data, warn=warn)
    return "---\n".join(yaml.safe_dump(each, sort_keys=False, width=98) for each in objects)
