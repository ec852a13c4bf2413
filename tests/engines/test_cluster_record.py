"""A workload of a cluster is recorded through kubectl: each pod and node, and nothing is left."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from capadvise.cli import main
from capadvise.config.kubernetes.admission import PodOwner
from capadvise.judgement.conclusion import ADDS_ONLY, standing_of
from capadvise.judgement.report import Report
from capadvise.model.recording import Recording
from capadvise.model.target import Target
from capadvise.report.dump import dump
from capadvise.report.load import load
from capadvise.targets.kubernetes import objects
from tests.support import schema
from tests.support.cluster import Cluster
from tests.support.cluster_rules import VERSION
from tests.support.cluster_server import serving
from tests.support.recordings import BIND, CATALOG, CHOWN, report_of
from tests.support.required import tool
from tests.support.runs import CAPADVISE
from tests.support.wait import until

TEMPLATE = {
    "spec": {
        "containers": [
            {
                "name": "web",
                "image": "registry.example/web:1",
                "ports": [{"containerPort": 80, "hostPort": 80}],
                "securityContext": {"privileged": True},
            }
        ]
    }
}
NODES = ("one", "two")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """With a deployment of three pods on two nodes, of which observers see what is their node's."""
    tool("kubectl")
    with serving(tmp_path) as made:
        made.deployment("web", TEMPLATE, 3, NODES)
        made.execute = observed
        yield made


def of_pod(pod: str, *, attached: bool, web: Report | None = None) -> dict[str, Any]:
    """The report on a pod's container."""
    web = web or report_of(BIND)
    target = Target(
        *("container", "web", ("nginx",), "/", "0:0"),
        image="registry.example/web:1",
        engine="containerd",
        container="0" * 64,
        pod=f"prod/{pod}",
        privileged=True,
    )
    recordings: tuple[Recording, ...] = tuple(
        replace(one, attached=attached) for one in web.recordings
    )
    return dump(replace(web, target=target, recordings=recordings), CATALOG)


def observed(
    cluster: Cluster, namespace: str, observer: str, container: str, words: list[str]
) -> tuple[str, int]:
    """What an observer answers: those of the first pods were running, of later ones it has seen the
    start. One pod gives its files away, one is another workload's, one lies about its container."""
    (mine,) = (one for one in cluster.pods(namespace) if one["metadata"]["name"] == observer)
    found = [of_pod("web-admin-7d4b9c6f5d-pod00", attached=False), {"schema": "other"}]
    evil = of_pod("web-7d4b9c6f5d-pod00", attached=False)
    found.append(evil | {"target": evil["target"] | {"name": "../../name-of-a-report"}})
    for pod in cluster.pods("prod"):
        name = pod["metadata"]["name"]
        if pod["spec"]["nodeName"] == mine["spec"]["nodeName"] and not name.endswith("pod02"):
            web = report_of(BIND, CHOWN) if name.endswith("pod00") else report_of(BIND)
            found.append(of_pod(name, attached="7d4b9c6f5d" in name, web=web))
    return json.dumps(found), 0


def started(cluster: Cluster) -> list[dict[str, Any]]:
    """The pods that are started from now on; they run at once."""
    seen: list[dict[str, Any]] = []

    def start(made: Cluster, pod: dict[str, Any]) -> None:
        seen.append(pod)
        made.run(pod)

    cluster.started = start
    return seen


RECORD = (CAPADVISE, "kubernetes", "record", "deploy/web", "-n", "prod", "--image", "capadvise")


def record(folder: Path, *words: str) -> int:
    """``kubernetes record``, of a moment."""
    words = (*words, "--image", "capadvise", "--for", "0.2s", "-o", str(folder))
    return main(["kubernetes", "record", *words])


def are_restrained(observers: list[dict[str, Any]]) -> None:
    """Each has two capabilities, no token, and an end."""
    for pod in observers:
        (container,) = pod["spec"]["containers"]
        context = container["securityContext"]
        assert context["capabilities"] == {"drop": ["ALL"], "add": ["SYS_PTRACE", "SYSLOG"]}
        assert context["privileged"] is context["allowPrivilegeEscalation"] is False
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["activeDeadlineSeconds"] < 3600
        assert container["command"][-1] == "prod/web*"


def test_pods_of_all_nodes_make_one_report(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    observers = started(cluster)
    assert record(tmp_path / "web", "deploy/web", "-n", "prod", "--context", "here") == 0
    assert {pod["spec"]["nodeName"] for pod in observers} == set(NODES)
    are_restrained(observers)
    out, err = capsys.readouterr()
    (path,) = (tmp_path / "web").iterdir()
    assert path.name == "web.json"
    assert not list(tmp_path.parent.rglob("name-of-a-report*"))
    assert "left out; is the image of another version?" in err
    report = load(path, CATALOG)
    schema.report().validate(json.loads(path.read_text()))
    assert (report.target.owner, report.target.replicas) == ("Deployment/web", 3)
    assert str(report.target.image).startswith("registry.example/web:1@sha256:")
    assert {one.pod for one in report.recordings} == {f"web-7d4b9c6f5d-pod0{n}" for n in (0, 1)}
    assert "Deployment/web/web: recorded in 2 of 3 replicas, no starts" in out
    assert "CHOWN: " in out
    assert "seen in 1 of 3 replicas" in out
    assert "recorded in part: its start was not observed: it can only add capabilities" in out
    assert "recording Deployment/web in prod: 3 pods on 2 nodes" in err
    made = [path for method, path in cluster.requests if method == "POST"]
    assert made.count("/api/v1/namespaces/capadvise/pods") == 2
    left = [path for path in cluster.objects if "capadvise" in path or "canary" in path]
    assert left == []


def test_a_restart_shows_the_starts(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert record(tmp_path / "web", "deploy/web", "-n", "prod", "--restart") == 0
    out, err = capsys.readouterr()
    assert "Deployment/web: restarted" in err
    report = load(tmp_path / "web" / "web.json", CATALOG)
    assert standing_of(report)[0] not in ADDS_ONLY
    assert "2 starts" in out


def test_the_time_counts_from_the_end_of_the_rollout(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what is ending is no replica: a pod is there until its grace period is over."""
    cluster.rollout_seconds, cluster.grace_seconds = 1.5, 60
    assert record(tmp_path / "web", "deploy/web", "-n", "prod", "--restart") == 0
    report = load(tmp_path / "web" / "web.json", CATALOG)
    assert standing_of(report)[0] not in ADDS_ONLY, capsys.readouterr().out
    assert report.target.replicas == 3
    assert len(cluster.pods("prod")) == 6


def test_a_rollout_that_changes_the_user_makes_two_reports(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not none: what was recorded for a week is kept."""
    before = cluster.execute

    def execute(*args: Any) -> tuple[str, int]:
        found = json.loads(before(*args)[0])
        for one in found[2:]:
            if one["target"]["pod"].endswith("pod01"):
                one["target"]["user"] = "0:5"
        return json.dumps(found), 0

    cluster.execute = execute
    assert record(tmp_path / "web", "deploy/web", "-n", "prod") == 0
    names = sorted(path.name for path in (tmp_path / "web").iterdir())
    assert names == ["web.user-0-0.json", "web.user-0-5.json"]


def test_a_cronjob_can_be_waited_for_and_a_job_made_by_hand_is_its_own(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = "/apis/batch/v1/namespaces/prod"
    template = {"metadata": {"labels": {}}, **TEMPLATE}
    spec = {"schedule": "@daily", "jobTemplate": {"spec": {"template": template}}}
    cluster.put(f"{batch}/cronjobs", {"metadata": {"name": "tidy"}, "spec": spec})
    maker = {"kind": "CronJob", "name": "tidy", "uid": "x", "apiVersion": "batch/v1"}
    job = {"metadata": {"name": "by-hand", "ownerReferences": [maker]}}
    owner = {"kind": "Job", "name": "by-hand", "uid": "x", "apiVersion": "batch/v1"}
    pod = {"metadata": {"name": "by-hand-x2x7k", "ownerReferences": [owner]}}

    def begin(made: Cluster, path: str) -> None:
        made.read = lambda cluster, path: None
        made.put(f"{batch}/jobs", job)
        made.run(made.put("/api/v1/namespaces/prod/pods", pod | TEMPLATE))

    def run_later(made: Cluster, path: str) -> None:
        if path.endswith("/prod/pods"):
            made.read = begin

    cluster.read = run_later
    TEMPLATE["spec"]["nodeName"] = "one"
    try:
        words = ("cj/tidy", "-n", "prod", "--image", "capadvise", "--for", "5s")
        assert main(["kubernetes", "record", *words, "-o", str(tmp_path / "tidy")]) == 0
    finally:
        del TEMPLATE["spec"]["nodeName"]
    out, err = capsys.readouterr()
    assert objects.watched(PodOwner.parse("cj/tidy", "prod")) == "prod/*"
    assert "its first one is recorded in part" in err
    assert "CronJob/tidy/web: recorded in 1 of 1 replica" in out


def test_a_plan_makes_nothing(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says what would be made, on which nodes, and what would stand still."""
    words = ("deploy/web", "-n", "prod", "--restart", "--plan")
    assert record(tmp_path / "web", *words) == 0
    err = capsys.readouterr().err
    assert "plan: an observer on one, two: image capadvise, hostPID" in err
    assert "plan: kubectl rollout restart of Deployment/web: all of its pods are replaced" in err
    assert cluster.requests == []
    assert not (tmp_path / "web").exists()


def with_claim(cluster: Cluster, *modes: str) -> None:
    """The deployment keeps data."""
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": list(modes)}}
    cluster.put("/api/v1/namespaces/prod/persistentvolumeclaims", claim)
    at = "/apis/apps/v1/namespaces/prod/deployments/web"
    cluster.objects[at]["spec"]["template"]["spec"]["volumes"] = [
        {"name": "disk", "persistentVolumeClaim": {"claimName": "data"}}
    ]


def test_a_canary_is_no_pod_of_a_service_and_gets_no_data_of_another(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = started(cluster)
    with_claim(cluster, "ReadWriteOnce")
    words = ("deploy/web", "-n", "prod", "--canary")
    assert record(tmp_path / "web", *words) == 2
    assert "volume disk (ReadWriteOnce) is in use by a pod that runs" in capsys.readouterr().err
    assert seen == []
    assert record(tmp_path / "web", *words, "--replace-volumes") == 0
    (canary,) = (pod for pod in seen if pod["metadata"]["namespace"] == "prod")
    assert canary["spec"]["volumes"] == [{"name": "disk", "emptyDir": {}}]
    assert "app" not in canary["metadata"]["labels"]
    assert "ownerReferences" not in canary["metadata"]
    assert canary["spec"]["restartPolicy"] == "Never"
    (container,) = canary["spec"]["containers"]
    assert container["ports"] == [{"containerPort": 80}]
    assert [pod for pod in cluster.pods("prod") if "canary" in pod["metadata"]["name"]] == []
    assert load(tmp_path / "web" / "web.json", CATALOG).target.replicas == 4


def test_an_observer_that_cannot_run_says_why(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of two: the other's reports are kept. Both: nothing is left."""

    def start(made: Cluster, pod: dict[str, Any]) -> None:
        if pod["spec"]["nodeName"] in hopeless:
            made.end(pod, 3, "capadvise: error: CAP_SYSLOG is missing\ncapadvise: hint: add it")
        else:
            made.run(pod)

    cluster.started = start
    hopeless = {"two"}
    assert record(tmp_path / "web", "deploy/web", "-n", "prod") == 0
    out, err = capsys.readouterr()
    assert "note: two is not watched: CAP_SYSLOG is missing" in err
    assert "recorded in 1 of 3 replicas" in out
    hopeless = {"one", "two"}
    assert record(tmp_path / "web", "deploy/web", "-n", "prod") == 3
    assert "no observer runs: CAP_SYSLOG is missing" in capsys.readouterr().err
    assert not any("observer" in path for path in cluster.objects)


def test_a_new_namespace_gets_its_account_a_moment_later(cluster: Cluster, tmp_path: Path) -> None:
    """As admission says it until then."""
    left = [f'service account capadvise/default: serviceaccount "{n}" not found' for n in "abc"]
    cluster.refuses = lambda method, path, item: left.pop() if item and left else None
    cluster.put("/api/v1/namespaces", objects.observers_namespace())
    assert record(tmp_path / "web", "deploy/web", "-n", "prod") == 0
    assert left == []


def test_pods_that_had_ended_before_are_no_replicas(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An evicted pod is there until somebody deletes it; the node of a job's is where the next may
    run."""
    evicted = cluster.pods("prod")[2]
    evicted["status"]["phase"] = "Failed"
    assert record(tmp_path / "web", "deploy/web", "-n", "prod") == 0
    assert load(tmp_path / "web" / "web.json", CATALOG).target.replicas == 2
    for pod in cluster.pods("prod"):
        pod["status"]["phase"] = "Failed"
    capsys.readouterr()
    assert record(tmp_path / "web", "deploy/web", "-n", "prod") == 3
    assert "recording Deployment/web in prod: 0 pods on 2 nodes" in capsys.readouterr().err


def test_what_a_node_sends_instead_of_reports_is_left_out(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {"one": "[" * 100_000, "two": "\x1b[31m{"}

    def answer(made: Cluster, namespace: str, pod: str, *_: object) -> tuple[str, int]:
        (mine,) = (one for one in made.pods(namespace) if one["metadata"]["name"] == pod)
        return answers[mine["spec"]["nodeName"]], 0

    cluster.execute = answer
    assert record(tmp_path / "web", "deploy/web", "-n", "prod") == 3
    err = capsys.readouterr().err
    assert err.count("no report: its answer was cut short, or is no JSON") == 2
    assert "no container of it was recorded" in err


def until_begun(recording: subprocess.Popen[str]) -> None:
    """Wait until all is watched."""
    assert recording.stderr is not None
    said = ""
    while "Ctrl-C ends the recording" not in said:
        said += (line := recording.stderr.readline())
        assert line, said


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGHUP, marks=pytest.mark.long)]
)
def test_whatever_ends_it_what_was_seen_is_kept_and_nothing_is_left(
    cluster: Cluster, tmp_path: Path, number: signal.Signals
) -> None:
    words = [*RECORD, "-o", tmp_path / "web"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        until_begun(it)
        it.send_signal(number)
        out, _ = it.communicate(timeout=60)
    assert it.returncode == 0
    assert "recorded in 2 of 3 replicas" in out
    assert not any("capadvise" in path for path in cluster.objects)


def test_the_rights_of_the_base_are_enough(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who may not make namespaces uses that of the base, and it stays."""
    base = Path(__file__).parents[2] / "demos/release/kubernetes"
    done = subprocess.run(["kubectl", "kustomize", base], check=True, capture_output=True)
    items = list(yaml.safe_load_all(done.stdout))
    cluster.roles = [item for item in items if item["kind"].endswith("Role")]
    assert record(tmp_path / "web", "deploy/web", "-n", "prod") == 3
    assert 'namespaces "capadvise" not found' in capsys.readouterr().err
    (namespace,) = (item for item in items if item["kind"] == "Namespace")
    cluster.put("/api/v1/namespaces", namespace)
    assert record(tmp_path / "web", "deploy/web", "-n", "prod") == 0
    assert [path for path in cluster.objects if "capadvise" in path] == [
        "/api/v1/namespaces/capadvise"
    ]
    for item in items:
        kubernetes_validate.validate(item, VERSION, strict=True)


def test_a_namespace_that_another_recording_uses_stays(cluster: Cluster, tmp_path: Path) -> None:
    """Whoever has made it; the last one removes it."""
    web = PodOwner.parse("deploy/other", "prod")
    theirs = objects.observer(web, "one", "observer-theirs-1", "theirs", "capadvise", 600)
    cluster.put("/api/v1/namespaces", objects.observers_namespace())
    cluster.put(objects.pods_path(objects.OBSERVERS), theirs)
    assert record(tmp_path / "web", "deploy/web", "-n", "prod") == 0
    assert [objects.name_of(pod) for pod in cluster.pods("capadvise")] == ["observer-theirs-1"]
    del cluster.objects[objects.pods_path(objects.OBSERVERS, "observer-theirs-1")]
    assert record(tmp_path / "web", "deploy/web", "-n", "prod") == 0
    assert not any("capadvise" in path for path in cluster.objects)


def test_what_is_not_there_is_said(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = {
        ("deploy/other", "-n", "prod"): (3, '"other" not found'),
        ("web", "-n", "prod"): (2, "is no workload"),
        ("job/web", "-n", "prod", "--restart"): (2, "a Job cannot be restarted"),
        ("deploy/web", "-n", "prod", "--context", "there"): (3, "there"),
        ("deploy/web", "-n", "prod", "--node", "one"): (2, "--node is for --canary or a CronJob"),
    }
    for words, (code, says) in cases.items():
        assert record(tmp_path / "web", *words) == code, words
        assert says in capsys.readouterr().err
    assert cluster.requests == []


def test_a_killed_one_leaves_no_pod(cluster: Cluster, tmp_path: Path) -> None:
    """Neither observers nor the canary."""
    words = [*RECORD, "--canary", "-o", tmp_path / "web"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as it:
        until_begun(it)
        assert len(cluster.pods("capadvise")) == 2
        assert any("canary" in path for path in cluster.objects)
        it.kill()
    until(lambda: not cluster.pods("capadvise"))
    until(lambda: not any("canary" in path for path in cluster.objects))
    assert len(cluster.pods("prod")) == 3


def test_a_pod_that_was_made_as_we_were_killed_goes_too(cluster: Cluster, tmp_path: Path) -> None:
    """kubectl outlives us: its request may be under way."""
    recordings: list[subprocess.Popen[bytes]] = []

    def late(method: str, path: str, item: dict[str, Any]) -> None:
        if method == "POST" and "/capadvise/pods" in path:
            (recording,) = until(lambda: recordings)
            recording.kill()
            recording.wait()
            time.sleep(1)  # time to remove what is there, and to miss this one

    cluster.refuses = late
    made = started(cluster)
    words = [*RECORD, "-o", tmp_path / "web"]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as it:
        recordings.append(it)
    until(lambda: made)
    until(lambda: not cluster.pods("capadvise"))


def test_what_ended_by_itself_is_removed_by_the_next(cluster: Cluster, tmp_path: Path) -> None:
    """Where nobody was left to remove it."""
    web = PodOwner.parse("deploy/web", "prod")
    theirs = objects.observer(web, "one", "observer-left-1", "left", "capadvise", 600)
    cluster.put("/api/v1/namespaces", objects.observers_namespace())
    cluster.end(cluster.put(objects.pods_path(objects.OBSERVERS), theirs), 137)
    assert record(tmp_path / "web", "deploy/web", "-n", "prod") == 0
    assert not cluster.pods("capadvise")


def test_kubectl_finds_it(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(CAPADVISE).parent), prepend=":")
    words = ["kubectl", "capadvise", *RECORD[2:], "--for", "0.1"]
    done = subprocess.run([*words, "-o", tmp_path / "web"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "recorded in 2 of 3 replicas" in done.stdout
