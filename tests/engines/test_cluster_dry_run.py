"""The server is asked what it would make of other sets: its refusals and changes are told."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from capadvise.cli import main
from capadvise.model.caps import parse_set
from capadvise.model.target import Target
from capadvise.report.save import save
from capadvise.targets.kubernetes.sets import granted, with_sets
from tests.support.cluster import Cluster
from tests.support.cluster_server import serving
from tests.support.recordings import BIND, CATALOG, CHOWN, FULL, report_of
from tests.support.required import tool

NAMESPACE = "/api/v1/namespaces/prod"
TEMPLATE: dict[str, Any] = {
    "spec": {
        "containers": [
            {"name": "web", "image": "web:1", "securityContext": {"privileged": True}},
            {"name": "side", "image": "side:1"},
        ]
    }
}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """In which ``prod`` enforces the level baseline."""
    tool("kubectl")
    with serving(tmp_path) as made:
        made.deployment("web", TEMPLATE, 1, ["one"])
        labels = {"pod-security.kubernetes.io/enforce": "baseline"}
        made.objects[NAMESPACE]["metadata"]["labels"] = labels
        yield made


def dry_run(folder: Path, *checks: Any, workload: str = "deploy/web") -> int:
    """With the set of a report on ``web``."""
    target = Target("container", "web", (), "/", "0:0", image="web:1", pod="prod/web-x")
    save(folder / "web.json", replace(report_of(*checks), target=target), CATALOG)
    return main(["kubernetes", "dry-run", workload, "-n", "prod", str(folder / "web.json")])


def test_the_server_takes_it_or_says_why_not(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = copy.deepcopy(cluster.objects)
    assert dry_run(tmp_path, BIND, CHOWN) == 0
    assert capsys.readouterr().out == (
        "Deployment/web: the server takes it as it is\n"
        "a pod of Deployment/web: the server takes it as it is\n"
    )
    admin = replace(
        CHOWN, cap=next(iter(parse_set(["SYS_ADMIN"]))), site=("ns_capable", "path_mount")
    )
    assert dry_run(tmp_path, replace(admin, syscall="mount")) == 1
    out = capsys.readouterr().out
    assert "Deployment/web: the server takes it as it is" in out
    assert "a pod of Deployment/web: kubectl create: " in out
    assert "violates PodSecurity: container web" in out
    assert cluster.objects == before
    assert cluster.requests == []


def test_a_pod_is_asked_for_as_its_workload_makes_it(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the network and a port of its node, with what a StatefulSet keeps for each: none of it is
    started. A Job's pods cannot be changed, and what its controller writes is no conflict."""
    template = copy.deepcopy(TEMPLATE) | {"metadata": {"labels": {"app": "db"}}}
    web = template["spec"]["containers"][0]
    web["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    labels = {"matchLabels": {"app": "db"}}
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    spec: dict[str, Any] = {"selector": labels, "template": template, "serviceName": "db"}
    apps, batch = "/apis/apps/v1/namespaces/prod", "/apis/batch/v1/namespaces/prod"
    made = {"metadata": {"name": "db"}, "spec": spec | {"volumeClaimTemplates": [claim]}}
    cluster.put(f"{apps}/statefulsets", made)
    assert dry_run(tmp_path, CHOWN, workload="sts/db") == 0, capsys.readouterr().out
    capsys.readouterr()
    del web["volumeMounts"]
    template["spec"]["restartPolicy"] = "Never"
    job = {"metadata": {"name": "job"}, "spec": {"template": template}}
    cluster.put(f"{batch}/jobs", job)
    assert dry_run(tmp_path, CHOWN, workload="job/job") == 0
    assert capsys.readouterr().out == "a pod of Job/job: the server takes it as it is\n"
    for more, why in (
        ({"containers": [web | {"ports": [{"containerPort": 80, "hostPort": 80}]}]}, "hostPort"),
        ({"hostNetwork": True}, "host namespaces"),
    ):
        changed = template | {"spec": template["spec"] | more}
        cluster.put(f"{batch}/jobs", job | {"spec": {"template": changed}})
        assert dry_run(tmp_path, CHOWN, workload="job/job") == 1
        assert f"violates PodSecurity: {why}" in capsys.readouterr().out


def test_what_is_changed_on_the_way_is_told(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a webhook that adds a sidecar and a capability."""

    def mutate(pod: dict[str, Any]) -> dict[str, Any]:
        changed = copy.deepcopy(pod)
        changed["spec"]["containers"][0]["securityContext"]["capabilities"]["add"] += ["KILL"]
        changed["spec"]["containers"] += [{"name": "mesh", "image": "mesh:1"}]
        return changed

    cluster.mutates = mutate
    assert dry_run(tmp_path, CHOWN) == 1
    out = capsys.readouterr().out
    assert "a pod of Deployment/web: web: add is [CHOWN, KILL]" in out
    assert "note: mesh is added by the server: privileged false, drop [], add []" in out


def test_the_server_is_asked_for_all_that_emit_writes(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Flags, too: what the server or a webhook makes of them is told as that of the sets is."""
    asked: list[dict[str, Any]] = []

    def mutate(pod: dict[str, Any]) -> dict[str, Any]:
        asked.append(pod["spec"]["containers"][0]["securityContext"])
        changed = copy.deepcopy(pod)
        del changed["spec"]["containers"][0]["securityContext"]["seccompProfile"]
        return changed

    cluster.mutates = mutate
    assert dry_run(tmp_path, CHOWN) == 1
    (context,) = asked
    assert main(["emit", str(tmp_path / "web.json"), "--format", "kubernetes"]) == 0
    out = capsys.readouterr().out
    assert "a pod of Deployment/web: web: seccompProfile is none in the answer" in out
    patch = yaml.safe_load(out.partition("# This patch")[2].partition("\n")[2])
    (emitted,) = patch["spec"]["template"]["spec"]["containers"]
    assert emitted["securityContext"].items() <= context.items()
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_what_nobody_may_add_is_kept_and_not_added() -> None:
    """NET_RAW, as runtimes give it: Pod Security's level baseline takes no pod that adds it."""
    today = parse_set(["CHOWN", "KILL", "NET_RAW", "SYS_TIME"])

    def of(*caps: str, **context: Any) -> object:
        spec = {"containers": [{"name": "a", "securityContext": context}]}
        changed = with_sets(spec, {"a": parse_set(caps)}, today=today)
        return changed["containers"][0]["securityContext"]["capabilities"]

    own = {"add": ["SYS_TIME"]}
    everything = ("CHOWN", "KILL", "NET_RAW", "SYS_TIME")
    assert of(*everything, capabilities=own) == own
    assert of(*everything) == {}
    assert of("CHOWN", "NET_RAW", capabilities=own) == {"drop": ["KILL", "SYS_TIME"], "add": []}
    assert of("CHOWN", "KILL") == {"drop": ["ALL"], "add": ["CHOWN", "KILL"]}
    all_named = {"drop": ["ALL"], "add": ["CHOWN", "NET_RAW"]}
    assert of("CHOWN", "NET_RAW", capabilities={"drop": ["ALL"], "add": list(everything)}) == {
        **all_named
    }
    assert of("CHOWN", "NET_RAW", privileged=True) == all_named


def test_what_a_container_is_granted() -> None:
    runtime = parse_set(["CHOWN", "KILL"])

    def of(**context: Any) -> frozenset[Any]:
        return granted({"securityContext": context}, runtime, FULL)

    assert granted({}, runtime, FULL) == runtime
    assert of(privileged=True) == FULL
    assert of(capabilities={"drop": ["KILL"], "add": ["NET_RAW"]}) == parse_set(
        ["CHOWN", "NET_RAW"]
    )
    assert of(capabilities={"drop": ["all"], "add": ["CAP_NET_RAW"]}) == parse_set(["NET_RAW"])
    assert of(capabilities={"add": ["ALL"]}) == FULL


def test_nothing_but_the_set_is_changed() -> None:
    context = {"runAsUser": 5, "privileged": True, "allowPrivilegeEscalation": False}
    spec = {"containers": [{"name": "a", "securityContext": context}, {"name": "b"}], "x": 1}
    before = copy.deepcopy(spec)
    changed = with_sets(spec, {"a": parse_set(["CHOWN"])})
    assert spec == before
    assert (changed["x"], changed["containers"][1]) == (1, {"name": "b"})
    assert changed["containers"][0]["securityContext"] == {
        "runAsUser": 5,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": ["CHOWN"]},
    }
    admin = with_sets(spec, {"a": parse_set(["SYS_ADMIN"])})
    assert "allowPrivilegeEscalation" not in admin["containers"][0]["securityContext"]
    with pytest.raises(Exception, match="no container c"):
        with_sets(spec, {"c": frozenset()})
