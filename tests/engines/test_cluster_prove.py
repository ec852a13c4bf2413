"""Trials on a cluster are copies of a workload's pod; its probes or a check decide."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from capadvise.cli import main
from capadvise.judgement.report import Report
from capadvise.model.caps import parse_set
from capadvise.model.target import Target
from capadvise.report.load import load
from capadvise.report.save import save
from capadvise.targets.kubernetes.sets import granted
from capadvise.workflow.kubernetes.prove import other_name
from tests.support.cluster import Cluster
from tests.support.cluster_server import serving
from tests.support.recordings import BIND, CATALOG, FULL, report_of
from tests.support.required import tool
from tests.support.runs import CAPADVISE
from tests.support.wait import until

FIRST, LATER = {"NET_BIND_SERVICE"}, {"NET_BIND_SERVICE", "CHOWN"}
"""What the program needs at its first start, and on what that has left."""
PODS = "/api/v1/namespaces/prod/pods"
Pod = dict[str, Any]


def template(*, probe: bool = True, image: str = "web:1") -> dict[str, Any]:
    """Two containers, of which one may do more than it needs."""
    web: dict[str, Any] = {
        "name": "web",
        "image": image,
        "securityContext": {"capabilities": {"drop": ["ALL"], "add": ["CHOWN", *FIRST]}},
    }
    if probe:
        web["readinessProbe"] = {"tcpSocket": {"port": 80}}
    return {"spec": {"containers": [web, {"name": "side", "image": "side:1"}]}}


def caps_of(pod: Pod, kind: str = "containers") -> set[str]:
    """What a canary's container adds."""
    return set(pod["spec"][kind][0]["securityContext"]["capabilities"]["add"])


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Where a program runs that fails without what it needs."""
    tool("kubectl")
    with serving(tmp_path) as made:
        made.deployment("web", template(), 1, ["one"])
        made.seen = []

        def start(server: Cluster, pod: Pod) -> None:
            made.seen.append(pod)
            ends(server, pod, FIRST)

        made.started = start
        made.changed = lambda server, pod: ends(server, pod, LATER)
        yield made


def ends(server: Cluster, pod: Pod, needed: set[str], kind: str = "containers") -> None:
    """What comes of a start."""
    if needed <= caps_of(pod, kind):
        server.run(pod)
    else:
        server.end(pod, 1, "Permission denied")


def saved(folder: Path, *checks: Any) -> Path:
    """The report on ``web``."""
    target = Target(
        *("container", "web", (), "/", "0:0"), image="web:1", pod="prod/web-x", privileged=True
    )
    path = folder / "web.json"
    save(path, replace(report_of(*checks), target=target), CATALOG)
    return path


def prove(folder: Path, *words: str, workload: str = "deploy/web") -> tuple[int, Report]:
    """Of a report that has seen the first start alone."""
    report, output = saved(folder, BIND), folder / "proven.json"
    verb = ("kubernetes", "prove", workload, "-n", "prod", str(report), "-o", str(output))
    code = main([*verb, *words])
    return code, load(output if output.exists() else report, CATALOG)


def test_probes_decide_on_two_starts(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What only the second one needs is found by trials: no recording has seen it."""
    code, report = prove(tmp_path)
    assert code == 0, capsys.readouterr().err
    assert report.proposal.minimal == parse_set(LATER)
    assert report.proven is not None
    assert report.proven.isolation == "container"
    assert {trial.failed_at for trial in report.proven.trials} >= {"start", "restart"}
    assert any("Permission denied" in one for t in report.proven.trials for one in t.differences)
    last = cluster.seen[-1]["spec"]["containers"][0]["securityContext"]
    assert last["allowPrivilegeEscalation"] is False, "as the patch has it"
    assert last["seccompProfile"] == {"type": "RuntimeDefault"}
    assert "proven minimal, 6 trials" in " ".join(capsys.readouterr().out.split())
    given = {"CHOWN", *FIRST}
    for pod in cluster.seen:
        assert caps_of(pod) <= given, "no trial has more than the pods that run"
        assert "app" not in pod["metadata"]["labels"]
        assert pod["spec"]["restartPolicy"] == "Never"
        assert "securityContext" not in pod["spec"]["containers"][1]
    assert not any("canary" in path for path in cluster.objects)


def test_an_ordinary_pod_is_proven_where_the_level_baseline_is_enforced(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has what the runtime gives, with NET_RAW, which no pod may add there."""
    labels = {"pod-security.kubernetes.io/enforce": "baseline"}
    cluster.objects["/api/v1/namespaces/prod"]["metadata"]["labels"] = labels
    at = cluster.objects["/apis/apps/v1/namespaces/prod/deployments/web"]
    (web, _) = at["spec"]["template"]["spec"]["containers"]
    del web["securityContext"]
    seen: list[frozenset[Any]] = []

    def start(server: Cluster, pod: Pod) -> None:
        runtime = CATALOG.baselines.default("containerd").grants
        caps = granted(pod["spec"]["containers"][0], runtime, FULL)
        seen.append(caps)
        server.run(pod) if parse_set(LATER) <= caps else server.end(pod, 1, "Permission denied")

    cluster.started = cluster.changed = start
    code, report = prove(tmp_path)
    assert code == 0, capsys.readouterr().err
    assert report.proposal.minimal == parse_set(LATER)
    assert parse_set(["NET_RAW"]) <= seen[0]


def test_a_copy_that_cannot_be_made_is_told_with_its_event(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not after five minutes: the kubelet has tried it three times."""

    def start(server: Cluster, pod: Pod) -> None:
        state = {"waiting": {"reason": "ContainerCreating"}}
        server.status(pod, phase="Pending", ready=False, state=state)
        event = {
            "metadata": {"name": f"{pod['metadata']['name']}.1"},
            "involvedObject": {"name": pod["metadata"]["name"]},
            "reason": "FailedCreatePodSandBox",
            "message": "the runtime does not support user namespaces",
            "count": 3,
        }
        server.put("/api/v1/namespaces/prod/events", event)

    cluster.started = start
    code, _ = prove(tmp_path)
    assert code == 3
    err = capsys.readouterr().err
    assert "was not started: the runtime does not support user namespaces" in err


def test_what_was_never_made_is_not_missed(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.refuses = lambda method, path, item: f"cannot {method} pods"
    code, _ = prove(tmp_path)
    assert code == 3
    err = capsys.readouterr().err
    assert "cannot POST pods" in err
    assert "not removed" not in err


def test_a_sidecar_is_started_again_too(cluster: Cluster, tmp_path: Path) -> None:
    """It is an init container that goes on."""
    at = cluster.objects["/apis/apps/v1/namespaces/prod/deployments/web"]
    spec = at["spec"]["template"]["spec"]
    web = spec["containers"].pop(0) | {"restartPolicy": "Always"}
    spec["initContainers"] = [web]
    cluster.started = lambda server, pod: ends(server, pod, FIRST, "initContainers")
    cluster.changed = lambda server, pod: ends(server, pod, LATER, "initContainers")
    code, report = prove(tmp_path)
    assert code == 0
    assert report.proposal.minimal == parse_set(LATER)
    assert report.proven is not None
    assert not report.proven.cautions


def test_the_minimal_set_in_a_user_namespace(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``hostUsers: false`` in each copy. A server that drops it would try something else."""
    code, report = prove(tmp_path, "--userns")
    assert code == 0, capsys.readouterr().err
    assert report.proven is not None
    assert report.proven.user_namespace
    assert {pod["spec"]["hostUsers"] for pod in cluster.seen} == {False}
    assert "in a user namespace" in " ".join(capsys.readouterr().out.split())
    cluster.mutates = lambda pod: pod | {"spec": {**pod["spec"], "hostUsers": None}}
    assert prove(tmp_path, "--userns")[0] == 3
    assert "dropped hostUsers" in capsys.readouterr().err


def without_probe(cluster: Cluster) -> None:
    """Nothing in the deployment says whether it works."""
    at = cluster.objects["/apis/apps/v1/namespaces/prod/deployments/web"]
    at["spec"]["template"]["spec"] = template(probe=False)["spec"]


def test_nothing_is_tried_where_nothing_decides(cluster: Cluster, tmp_path: Path) -> None:
    without_probe(cluster)
    assert prove(tmp_path)[0] == 2
    assert cluster.seen == []


@pytest.mark.long
def test_a_check_decides_where_it_is_asked(cluster: Cluster, tmp_path: Path) -> None:
    """It is told where the copy is."""
    without_probe(cluster)
    log = tmp_path / "log"
    code, report = prove(tmp_path, "--check", f"echo $NAMESPACE $POD $CONTAINER $POD_IP >>{log}")
    assert (code, report.proposal.minimal) == (0, parse_set(LATER))
    told = log.read_text().split("\n")[0].split()
    assert (told[0], told[2:]) == ("prod", ["web", "192.0.2.2"])
    assert told[1].startswith("web-canary-")


def test_what_fails_with_all_that_it_has_is_not_proven(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.started = lambda server, pod: server.end(pod, 7, "no database")
    assert prove(tmp_path, workload="deploy/other")[0] == 3
    code, report = prove(tmp_path)
    assert (code, report.proposal.minimal) == (1, None)
    err = capsys.readouterr().err
    assert "fails even with all that it has today: exited with 7: no database" in err
    assert "privileged. That is more than capabilities" in err


def test_a_server_that_will_not_have_it_says_why(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.refuses = lambda method, path, item: "quota is exceeded" if path == PODS else None
    assert prove(tmp_path)[0] == 3
    assert "quota is exceeded" in capsys.readouterr().err


def test_a_set_is_not_blamed_for_what_a_node_does(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One copy waits for its image longer than a start may take, and the last one is evicted: what
    is known by then is kept."""
    pulling = {"waiting": {"reason": "ErrImagePull", "message": "a moment"}}
    full = {"phase": "Failed", "reason": "Evicted", "message": "No memory.", "startTime": None}
    looks = 0

    def pulled(server: Cluster, path: str) -> None:
        """At the fifth look at it: the time of a start is over."""
        nonlocal looks
        first = cluster.seen[0] if cluster.seen else None
        if first and path == f"{PODS}/{first['metadata']['name']}":
            looks += 1
            if looks == 5:
                ends(server, first, FIRST)

    def start(server: Cluster, pod: Pod) -> None:
        cluster.seen.append(pod)
        if len(cluster.seen) == 1:
            server.status(pod, phase="Pending", ready=False, state=pulling)
        elif len(cluster.seen) == 4:
            server.run(pod)
            pod["status"] |= full
        else:
            ends(server, pod, FIRST)

    cluster.started, cluster.read = start, pulled
    code, report = prove(tmp_path, "--timeout", "0.2s")
    assert (code, len(cluster.seen)) == (1, 4)
    assert report.proven is not None
    assert not report.proven.complete
    assert len(report.proven.trials) == 3
    assert "the trials ended early: " in (said := " ".join(capsys.readouterr().out.split()))
    assert "Evicted: No memory. " in said


def test_a_copy_that_never_starts_proves_nothing(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = {"waiting": {"reason": "CreateContainerConfigError", "message": "no secret x"}}
    cluster.started = lambda server, pod: server.status(
        pod, phase="Pending", ready=False, state=state
    )
    assert prove(tmp_path)[0] == 3
    assert "was not started: CreateContainerConfigError: no secret x" in capsys.readouterr().err


def test_where_there_is_no_second_start_the_report_says_so(
    cluster: Cluster, tmp_path: Path
) -> None:
    """As of a pod that ends instead of being started with another name of its image."""

    def changed(server: Cluster, pod: Pod) -> None:
        pod["restarts"] = 0
        server.end(pod, 143)

    cluster.changed = changed
    code, report = prove(tmp_path)
    assert (code, report.proposal.minimal) == (0, parse_set(FIRST))
    assert report.proven is not None
    assert any("a second start was not tried" in one for one in report.proven.cautions)


def test_a_killed_one_leaves_no_copy(cluster: Cluster, tmp_path: Path) -> None:
    cluster.started = lambda server, pod: cluster.seen.append(pod)  # it never becomes ready
    report, output = saved(tmp_path, BIND), tmp_path / "proven.json"
    words = [CAPADVISE, "kubernetes", "prove", "deploy/web", "-n", "prod", report, "-o", output]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as it:
        until(lambda: cluster.seen)
        it.kill()
    until(lambda: not any("canary" in path for path in cluster.objects))


def test_ctrl_c_before_the_first_trial_ends(cluster: Cluster, tmp_path: Path) -> None:
    def start(server: Cluster, pod: Pod) -> None:
        server.run(pod, ready=False)
        os.kill(os.getpid(), signal.SIGINT)

    cluster.started = start
    assert prove(tmp_path)[0] == 130
    assert not any("canary" in path for path in cluster.objects)


DIGEST = f"sha256:{'1' * 64}"


@pytest.mark.parametrize(
    ("image", "pulled", "other"),
    [
        ("web:1", f"docker.io/library/web@{DIGEST}", f"docker.io/library/web@{DIGEST}"),
        (f"r.io/web@{DIGEST}", f"r.io/web@{DIGEST}", f"r.io/web:again@{DIGEST}"),
        ("web:1", DIGEST, DIGEST),
        (DIGEST, DIGEST, None),
        ("web:1", "", None),
    ],
)
def test_an_image_has_two_names(image: str, pulled: str, other: str | None) -> None:
    assert other_name(image, pulled, pulls=False) == other


def test_an_id_is_no_name_for_a_registry() -> None:
    assert other_name("web:1", DIGEST, pulls=True) is None
