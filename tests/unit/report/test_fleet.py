"""A thousand replicas are one report; and what of a workload's objects is read and made."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import kubernetes_validate
import pytest

from capadvise.config.kubernetes.admission import PodOwner
from capadvise.judgement.flags import gains_nothing
from capadvise.judgement.report import Report
from capadvise.model.target import Target
from capadvise.report import fleet
from capadvise.targets.kubernetes import copies, objects
from tests.bench import fleet as bench
from tests.support.recordings import BIND, CATALOG, CHOWN, report_of

DIGEST = f"sha256:{'1' * 64}"
OTHER = f"sha256:{'2' * 64}"
WEB = PodOwner.parse("deploy/web", "prod")


def of(pod: str, *checks: Any, container: str = "web") -> Report:
    """A report on a container of a pod."""
    target = Target("container", container, (), "/", "0:0", image="web:1", pod=f"prod/{pod}")
    return replace(report_of(*checks), target=target)


def test_containers_and_images_have_a_report_each() -> None:
    pods = {
        "a": {"web": DIGEST, "side": OTHER},
        "b": {"web": DIGEST, "side": OTHER},
        "c": {"web": OTHER, "side": OTHER},
        "pending": {},
    }
    reports = [of("a", BIND), of("b", BIND, CHOWN), of("c", BIND), of("stranger", CHOWN)]
    reports.append(of("a", container="side"))
    merged = fleet.merged(reports, "Deployment/web", pods, pods.keys(), CATALOG)
    found = [one.report for one in merged]
    told = {(one.target.name, one.target.image): fleet.coverage(one) for one in found}
    assert told == {
        ("side", f"web:1@{OTHER}"): "recorded in 1 of 4 replicas, 1 start",
        ("web", f"web:1@{DIGEST}"): "recorded in 2 of 3 replicas, 2 starts",
        ("web", f"web:1@{OTHER}"): "recorded in 1 of 2 replicas, 1 start",
    }
    assert [fleet.file_name(one, found) for one in found] == [
        "side.json",
        "web.111111111111.json",
        "web.222222222222.json",
    ]
    (chown,) = (need for need in found[1].proposal.needs if need.cap == CHOWN.cap)
    assert fleet.seen_in(found[1], chown) == "seen in 1 of 3 replicas"


def test_what_a_thousand_replicas_cost_can_be_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fleet", "3"])
    bench.main()
    assert "recorded in 3 of 3 replicas, 3 starts" in capsys.readouterr().out


def test_a_selector_is_a_query() -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "old", "operator": "DoesNotExist"},
        {"key": "new", "operator": "Exists"},
        {"key": "zone", "operator": "NotIn", "values": ["z"]},
    ]
    selector = {"matchLabels": {"app": "web"}, "matchExpressions": expressions}
    said = objects.selector_of({"spec": {"selector": selector}})
    assert said == "app=web,tier in (a,b),!old,new,zone notin (z)"
    assert objects.selector_of({"spec": {"jobTemplate": {}}}) == ""


@pytest.mark.parametrize(
    ("owner", "kind", "name", "makes"),
    [
        ("deploy/web", "ReplicaSet", "web-7d4b9c6f5d", True),
        ("deploy/web", "ReplicaSet", "web-admin-7d4b9c6f5d", False),
        ("deploy/web", "StatefulSet", "web", False),
        ("sts/web", "StatefulSet", "web", True),
        ("cj/web", "Job", "web-29000000", True),
        ("cj/web", "Job", "by-hand", True),
        ("cj/web", "Job", "web-2", False),
        ("job/web.x", "Job", "web-x", False),
    ],
)
def test_whose_a_pod_is(owner: str, kind: str, name: str, makes: bool) -> None:
    labels = {"pod-template-hash": "7d4b9c6f5d"}
    owners = [{"kind": kind, "name": name}]
    pod = {"metadata": {"name": "x", "labels": labels, "ownerReferences": owners}}
    assert PodOwner.parse(owner, "prod").makes(pod, ["by-hand"]) is makes
    assert PodOwner.parse("pod/x", "prod").makes({"metadata": {"name": "x"}})
    assert not PodOwner.parse("pod/x", "prod").makes(pod)


def test_a_copy_of_a_pod_leaves_out_what_is_the_servers() -> None:
    pod = {
        "kind": "Pod",
        "metadata": {"name": "x", "labels": {"app": "x"}, "annotations": {"note": "1"}},
        "spec": {
            "nodeName": "one",
            "containers": [
                {
                    "name": "x",
                    "image": "x",
                    "volumeMounts": [
                        {"name": "kube-api-access-x1", "mountPath": "/t"},
                        {"name": "data", "mountPath": "/data"},
                    ],
                }
            ],
            "volumes": [
                {"name": "kube-api-access-x1", "projected": {"sources": []}},
                {"name": "data", "emptyDir": {}},
            ],
        },
    }
    made = copies.canary(objects.template_of(pod), WEB, "run", 1, seconds=9)
    kubernetes_validate.validate(made, "1.31", strict=True)
    assert made["metadata"]["annotations"] == {"note": "1"}
    assert "app" not in made["metadata"]["labels"]
    assert "nodeName" not in made["spec"]
    assert [one["name"] for one in made["spec"]["volumes"]] == ["data"]
    (container,) = made["spec"]["containers"]
    assert container["volumeMounts"] == [{"name": "data", "mountPath": "/data"}]
    with pytest.raises(Exception, match="uses the network of its node"):
        copies.canary({"spec": {"hostNetwork": True}}, WEB, "run", 1, seconds=9)


def test_volumes_of_a_stateful_set_belong_to_one_pod() -> None:
    spec = {
        "template": {
            "spec": {"volumes": [{"name": "a", "persistentVolumeClaim": {"claimName": "b"}}]}
        },
        "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
    }
    assert objects.claims_of({"kind": "StatefulSet", "spec": spec}) == {"a": "b", "data": ""}


def test_the_schema_knows_what_an_observer_is_made_of() -> None:
    pod = objects.observer(WEB, "one", "observer", "run", "capadvise", 600)
    kubernetes_validate.validate(pod, "1.31", strict=True)
    kubernetes_validate.validate(objects.observers_namespace(), "1.31", strict=True)


def test_after_a_restart_old_and_new_pods_are_told_from_replicas() -> None:
    pods: dict[str, dict[str, str]] = {"old": {}, "new": {}}
    reports = [of("old", BIND), of("new", BIND, CHOWN)]
    (one,) = fleet.merged(reports, "Deployment/web", pods, {"new"}, CATALOG)
    assert one.report.target.replicas == 1
    assert fleet.coverage(one.report).startswith("recorded in 2 pods, old and new, ")
    needs = {need.cap.short: need for need in one.report.proposal.needs}
    assert fleet.seen_in(one.report, needs["CHOWN"]) == "seen in 1 of 2 pods, old and new"


def test_a_pod_of_before_does_not_hide_what_its_successor_s_start_shows() -> None:
    """Nor does a report without any start say that nothing gains privileges."""
    pods: dict[str, dict[str, str]] = {"old": {}, "new": {}}
    old, new = of("old", BIND), of("new", BIND)
    seen = tuple(replace(one, setid_exec=False) for one in new.recordings)
    late = tuple(replace(one, attached=True, setid_exec=False) for one in old.recordings)
    reports = [replace(old, recordings=late), replace(new, recordings=seen)]
    (both,) = fleet.merged(reports, "Deployment/web", pods, {"new"}, CATALOG)
    assert gains_nothing(both.report) is True
    (alone,) = fleet.merged(reports[:1], "Deployment/web", pods, {"old"}, CATALOG)
    assert gains_nothing(alone.report) is None


def test_a_rollout_has_ended_when_all_its_pods_are_new_and_work() -> None:
    def of(generation: int, **status: int) -> bool:
        return objects.is_rolled_out(
            {"metadata": {"generation": generation}, "spec": {"replicas": 2}, "status": status}
        )

    done = {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
    assert of(3, **done)
    assert not of(4, **done)
    assert not of(3, **done | {"replicas": 3})
    assert not of(3, **done | {"availableReplicas": 1})
    ds = {"observedGeneration": 1, "desiredNumberScheduled": 5, "updatedNumberScheduled": 5}
    assert of(1, **ds, numberAvailable=5)
    assert not of(1, **ds)


def test_a_pod_that_ended_with_an_empty_message_has_ended_all_the_same() -> None:
    ended = {"terminated": {"message": " \n", "reason": "Error"}}
    pod = {"status": {"phase": "Failed", "containerStatuses": [{"state": ended}]}}
    assert objects.trouble(pod) == "it is Failed"
