"""The story of a cluster with real containers: kubectl, observers in pods of their own, restarts,
and copies of a pod as trials. Only the API server is a stand-in."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from capadvise.judgement.conclusion import ADDS_ONLY, standing_of
from capadvise.model.caps import parse_set
from capadvise.report.load import load
from tests.engines.transcript import TOP, assert_shows, steps
from tests.support.cluster import Cluster
from tests.support.cluster_server import serving
from tests.support.kubelet import Kubelet
from tests.support.pods import Node
from tests.support.recordings import CATALOG
from tests.support.required import tool
from tests.support.runs import CAPADVISE
from tests.support.wait import until

DEMO = TOP / "demos" / "kubernetes"
NEEDED = parse_set(["CHOWN", "SETGID", "SETUID", "NET_BIND_SERVICE"])
WEB: dict[str, Any] = {
    "name": "web",
    "image": "web:1",
    "command": ["sh", "-c", "chown 999:999 /data && exec httpd -f -p 80 -u www-data"],
    "readinessProbe": {"exec": {"command": ["grep", "-q", ":0050 ", "/proc/net/tcp6"]}},
}


@pytest.fixture
def cluster(kubelet: Node, tmp_path: Path) -> Iterator[Cluster]:
    """With one node, and two replicas of a server that has more than it needs."""
    tool("kubectl")
    (tracing := tmp_path / "tracing").mkdir()
    subprocess.run(["mount", "-t", "tracefs", "none", tracing], check=True)
    with serving(tmp_path, kubelet.namespace) as made:
        node = Kubelet(kubelet, made, tracing)
        try:
            made.deployment("web", {"spec": {"containers": [WEB]}}, 2, ["one"])
            until(lambda: ready(made) == 2)
            yield made
        finally:
            node.close()
            subprocess.run(["umount", "-l", tracing], check=True)


def ready(cluster: Cluster, letters: str = "") -> int:
    """How many replicas run."""
    return sum(
        letters in pod["metadata"]["name"]
        and pod.get("status", {}).get("conditions", [{}])[0].get("status") == "True"
        for pod in cluster.pods(cluster.namespace)
    )


def record(cluster: Cluster, folder: Path) -> str:
    """With a restart, until the new replicas run: what it says."""
    words = [CAPADVISE, "kubernetes", "record", "deploy/web", "-n", cluster.namespace]
    words += ["--image", "capadvise", "--restart"]
    with subprocess.Popen(
        [*words, "-o", folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as it:
        assert it.stderr is not None
        said = ""
        while "Ctrl-C ends the recording" not in said:
            said += (line := it.stderr.readline())
            assert line, said
        until(lambda: ready(cluster, "c4d4b9bb6f") == 2, 120)
        it.send_signal(signal.SIGINT)
        out, err = it.communicate(timeout=240)
    assert it.returncode == 0, said + err
    return out


def test_replicas_are_seen_from_their_first_instruction(cluster: Cluster, tmp_path: Path) -> None:
    """By an observer that has what its pod is given: SYS_PTRACE and SYSLOG."""
    out = record(cluster, tmp_path / "web")
    (path,) = (tmp_path / "web").iterdir()
    report = load(path, CATALOG)
    assert report.proposal.recommended == NEEDED
    assert standing_of(report)[0] not in ADDS_ONLY, (standing_of(report), report.recordings[0].lost)
    assert sum(not one.attached for one in report.recordings) == 2
    assert "2 starts" in out
    assert not any("observer" in at for at in cluster.objects)


@pytest.mark.long
def test_copies_of_a_pod_prove_the_set(cluster: Cluster, tmp_path: Path) -> None:
    """On two starts each."""
    record(cluster, tmp_path / "web")
    path, proven = tmp_path / "web" / "web.json", tmp_path / "proven.json"
    words = [CAPADVISE, "kubernetes", "prove", "deploy/web", "-n", cluster.namespace, path]
    done = subprocess.run([*words, "--timeout", "20", "-o", proven], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = load(proven, CATALOG)
    assert report.proposal.minimal == NEEDED
    assert report.proven is not None
    assert report.proven.cautions == ()


@pytest.mark.long
def test_the_story_that_the_page_shows(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``demos/kubernetes/cluster`` tells it, but for what a server's own parts do."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(DEMO / "cluster.yaml", "web.yaml")
    at = f"-n {cluster.namespace}"
    told = {f"record deploy/web {at} --restart --for 30s --image capadvise -o web/": ""}
    (first,) = told
    told[first] = record(cluster, tmp_path / "web").replace(f"{tmp_path}/", "")
    for words in (
        f"dry-run deploy/web {at} web/web.json",
        f"prove deploy/web {at} web/web.json -o web/web.json",
        f"keep deploy/web {at} web/web.json",
    ):
        told[words] = said("kubernetes", *words.split())
    into = "emit web/web.json --format kubernetes --into web.yaml --service deployment/web/web"
    told[into] = said(*into.split())
    printed = {
        command.replace(cluster.namespace, "prod"): text.replace(cluster.namespace, "prod")
        for command, text in told.items()
    }
    for step in steps((DEMO / "README.md").read_text().partition("## On a cluster")[2]):
        command = step.command.removeprefix("kubectl ").removeprefix("capadvise ")
        assert_shows(step.output.partition("```")[0], printed[command])


def said(*words: str) -> str:
    """What capadvise prints."""
    done = subprocess.run([CAPADVISE, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
