"""Pods are watched where they run, by what lies beside the shims of a real containerd."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from capadvise.model.errors import BadInput
from capadvise.targets.kubernetes.cri import node
from capadvise.targets.kubernetes.pods import Pods, pods_with, require_pods
from tests.support.attaching import attach, start
from tests.support.pods import IMAGE, Node
from tests.support.required import tool
from tests.support.runs import CAPADVISE
from tests.support.shown import shown
from tests.support.wait import until

WEB = ("sh", "-c", "chown 999:999 /data && exec httpd -f -p 80 -u www-data")
NEEDED_BY_WEB = {"CHOWN", "SETGID", "SETUID", "NET_BIND_SERVICE"}
MANIFEST = """\
apiVersion: v1
kind: Pod
metadata: {name: web-1}
spec:
  containers:
    - name: web
      image: localhost/box
      securityContext: {capabilities: {drop: [ALL], add: [SYS_NICE]}}
"""
NESTED = f"""\
printf '#!/bin/sh\\nsleep 0.2; chmod 2755 /data; touch /tmp/done' >/tmp/runc
chmod +x /tmp/runc; /tmp/runc exec {"0" * 64}; sleep 600
"""
"""What is called like a runtime in a container is the container's own."""
TOP = Path(__file__).parents[2]
OBSERVER = ("SYS_PTRACE", "SYSLOG")
"""What a pod needs that watches others."""
Reports = dict[str, dict[str, Any]]


def ended(process: subprocess.Popen[str], folder: Path, kubelet: Node) -> Reports:
    """End a recording of several containers: the reports, by pod and container."""
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    before = f"{kubelet.namespace}-"
    return {p.stem.removeprefix(before): json.loads(p.read_text()) for p in folder.iterdir()}


def caps_of(report: dict[str, Any]) -> set[str]:
    """What it recommends."""
    return set(report["proposal"]["cap_add"])


def test_a_pod_with_users_of_its_own(kubelet: Node, tmp_path: Path) -> None:
    """``hostUsers: false``: what counts there is needed, with the risk that it has there; what is
    asked of the host is refused, whatever is added."""
    script = "chown 9 /data; mount -t tmpfs none /tmp; mknod /x c 1 3; touch /tmp/done; sleep 600"
    with kubelet.pod("own-1", host_users=False) as pod:
        process = start(f"{kubelet.namespace}/own-*", "-o", str(tmp_path))
        web = pod.run("web", "sh", "-c", script, more=["SYS_ADMIN"])
        until(lambda: pod.execute(web, "test", "-e", "/tmp/done") == 0)
        report = ended(process, tmp_path, kubelet)["own-1.web"]
    assert caps_of(report) == {"CHOWN", "SYS_ADMIN"}
    assert report["posture"]["namespaces"]["user"] == "own"
    needs = {need["cap"].removeprefix("CAP_"): need for need in report["needs"]}
    assert {name: needs[name]["scope"] for name in ("CHOWN", "SYS_ADMIN", "MKNOD")} == {
        **{"CHOWN": "user-namespace", "SYS_ADMIN": "user-namespace", "MKNOD": "host"}
    }
    assert (needs["SYS_ADMIN"]["risk"], needs["MKNOD"]["verdict"]) == ("high", "denied")
    assert report["proposal"]["user_namespace"]["fits"] is True


def test_each_container_of_each_replica_from_its_first_instruction(
    kubelet: Node, tmp_path: Path
) -> None:
    """An init container, a sidecar of another user, a restart in place, a probe, two replicas;
    nothing of ``pause`` and nothing of the runtime."""
    with kubelet.pod("web-1") as one, kubelet.pod("web-2") as two, kubelet.pod("db-1") as other:
        process = start(f"{kubelet.namespace}/web-*", "-o", str(tmp_path))
        assert one.ended(one.run("init", "sh", "-c", "mknod /x c 1 3")) == 0
        first = one.run("web", *WEB)
        side = one.run("side", "sh", "-c", NESTED, user=33)
        other.run("db", "chown", "5", "/data")
        assert one.execute(first, "sh", "-c", "chgrp 5 /data/file && chmod 2755 /data/file") == 0
        until(lambda: one.execute(side, "test", "-e", "/tmp/done") == 0)
        one.stop(first)
        one.run("web", *WEB)
        two.run("web", *WEB)
        reports = ended(process, tmp_path, kubelet)
    assert {name: caps_of(report) for name, report in reports.items()} == {
        "web-1.init": {"MKNOD"},
        "web-1.web": NEEDED_BY_WEB | {"FSETID"},
        "web-1.side": {"FOWNER"},
        "web-2.web": NEEDED_BY_WEB,
    }
    starts = {
        name: [r["attached"] for r in report["recordings"]] for name, report in reports.items()
    }
    assert starts == {name: [False] * (1 + (name == "web-1.web")) for name in reports}
    web, side = reports["web-1.web"], reports["web-1.side"]
    replicas = [str(tmp_path / f"{kubelet.namespace}-web-{number}.web.json") for number in (1, 2)]
    merged = subprocess.run([CAPADVISE, "merge", *replicas], capture_output=True, text=True)
    assert "recorded 3 times, not proven" in merged.stderr
    (probe,) = (need for need in web["needs"] if need["cap"] == "CAP_FSETID")
    assert probe["phases"] == ["healthcheck"]
    target = web["target"]
    assert (target["kind"], target["name"], target["pod"]) == (
        "container",
        "web",
        f"{kubelet.namespace}/web-1",
    )
    assert target["image"].startswith(f"{IMAGE}@sha256:")
    assert (target["engine"], target["privileged"]) == ("containerd", False)
    assert [one["target"]["user"] for one in (web, side)] == ["0:0", "33:33"]
    programs = {
        c["program"] for r in reports.values() for o in r["recordings"] for c in o["checks"]
    }
    assert programs <= {"sh", "exe", "runc", "httpd", "mknod", "chmod", "chgrp", "test"}


def test_of_what_ran_before_nothing_is_taken_away(kubelet: Node, tmp_path: Path) -> None:
    """Until it is started again while it is watched."""
    manifest = tmp_path / "pod.yaml"
    manifest.write_text(MANIFEST)

    def emit() -> str:
        words = ("emit", str(tmp_path / "r.json"), "--format", "kubernetes", "--into")
        done = subprocess.run([CAPADVISE, *words, str(manifest)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return manifest.read_text()

    with kubelet.pod("web-1") as pod:
        first = pod.run("web", *WEB)
        seen = attach(
            f"{kubelet.namespace}/web-1/web",
            lambda: pod.execute(first, "chown", "5", "/data/file"),
            tmp_path / "r.json",
        )
        assert [one["attached"] for one in seen.report["recordings"]] == [True]
        assert seen.recommended == {"CHOWN"}
        patched = emit()
        assert "SYS_NICE" in patched
        assert "CHOWN" in patched
        assert "runAs" not in patched

        def restart() -> None:
            pod.stop(first)
            pod.run("web", *WEB)

        seen = attach(first[:12], restart, tmp_path / "r.json")
    assert [one["attached"] for one in seen.report["recordings"]] == [True, False]
    assert seen.recommended == NEEDED_BY_WEB
    assert "SYS_NICE" not in emit()


def test_what_was_seen_of_a_pod_outlives_the_recording(kubelet: Node, tmp_path: Path) -> None:
    with kubelet.pod("week-1") as pod:
        process = start(f"{kubelet.namespace}/week-1", "-o", str(tmp_path), "--for", "7d")
        pod.run("db", "sh", "-c", "chown 5 /data; sleep 1000")
        report = tmp_path / f"{kubelet.namespace}-week-1.db.json"
        until(report.exists)
        until(lambda: caps_of(json.loads(report.read_text())) == {"CHOWN"})
        process.kill()
        process.communicate(timeout=60)
    kept = json.loads(report.read_text())
    assert kept["recordings"][-1]["interrupted"] is True


def test_a_container_that_is_gone_before_it_is_read_is_told(kubelet: Node, tmp_path: Path) -> None:
    with kubelet.pod("web-1") as pod:
        process = start(f"{kubelet.namespace}/web-1", "-o", str(tmp_path))
        process.send_signal(signal.SIGSTOP)
        assert pod.ended(pod.run("init", "sh", "-c", "mknod /x c 1 3")) == 0
        process.send_signal(signal.SIGCONT)
        web = pod.run("web", *WEB)
        until(lambda: pod.execute(web, "test", "-e", "/data/file") == 0)
        reports = ended(process, tmp_path, kubelet)
    assert set(reports) == {"web-1.web"}
    (caution,) = reports["web-1.web"]["recordings"][0]["cautions"]
    assert "which containers began before they were gone" in caution


def test_it_ends_with_the_pod(kubelet: Node, tmp_path: Path) -> None:
    """And one that has seen no container says so."""
    with kubelet.pod("short-1"):
        process = start(f"{kubelet.namespace}/short-1", "-o", str(tmp_path))
    _, err = process.communicate(timeout=60)
    assert (
        f"no container of {kubelet.namespace}/short-1 ran on this machine during the recording"
        in err
    )
    assert process.returncode == 3


def test_a_container_is_known_by_its_names_its_id_and_its_processes(kubelet: Node) -> None:
    with kubelet.pod("web-1") as pod:
        container = pod.run("web", "sleep", "600")
        pids = {kept.container.id: kept.pid for kept in node.containers()}
        for name in (container, container[:12], str(pids[container])):
            assert pods_with(name) == Pods(kubelet.namespace, "web-1", "web")
        require_pods(Pods(kubelet.namespace, "web-1"))
        for name in (pod.sandbox, str(pids[pod.sandbox])):
            with pytest.raises(
                BadInput, match=f"holds the namespaces of {kubelet.namespace}/web-1"
            ):
                pods_with(name)
        with pytest.raises(BadInput, match=f"no pod {kubelet.namespace}/web-2 runs") as error:
            require_pods(Pods(kubelet.namespace, "web-2"))
        assert str(error.value.hint).startswith("there are ")
        inspected = subprocess.run(
            [CAPADVISE, "inspect", str(pids[container])], capture_output=True, text=True
        )
        assert inspected.returncode == 0
        called = f"{kubelet.namespace}/web-1/web"
        for name in (container[:12], called):
            said = subprocess.run(
                [CAPADVISE, "inspect", f"container:{name}"], capture_output=True, text=True
            )
            assert f"in containerd container {called}" in said.stdout, said.stderr
        other = start(f"{kubelet.namespace}/web-1/app", "--for", "1")
        _, said_by_other = other.communicate(timeout=60)
        assert f"there are {called}" in said_by_other


@pytest.mark.parametrize(("uid", "keeps"), [(0, True), (65534, False)])
def test_who_is_called_like_a_shim_is_one_if_root_runs_it(uid: int, *, keeps: bool) -> None:
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    feigned = folder / "containerd-shim-x"
    shutil.copy(tool("bash"), feigned)
    words = [feigned, "-c", "echo; read x", "-namespace", node.NAMESPACE, "-id", "0" * 64]
    with subprocess.Popen(words, user=uid, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shim:
        assert shim.stdout is not None
        shim.stdout.readline()
        assert (shim.pid in node.shims()) is keeps
        shim.kill()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def tracing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where tracefs is mounted, as on a node."""
    folder = tmp_path_factory.mktemp("tracing")
    subprocess.run(["mount", "-t", "tracefs", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_the_page_of_the_image_says_what_is_tried_here() -> None:
    page = (TOP / "demos" / "image" / "README.md").read_text()
    (manifest,) = re.findall(r"(?s)```yaml\n(.*?)```", page)
    observer = yaml.safe_load(manifest)
    kubernetes_validate.validate(observer, "1.31", strict=True)
    (container,) = observer["spec"]["containers"]
    assert container["securityContext"] == {
        "capabilities": {"drop": ["ALL"], "add": list(OBSERVER)},
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


@pytest.mark.parametrize(
    ("caps", "says"),
    [
        (OBSERVER, "/web-*: no container yet"),
        (("SYS_PTRACE",), "hides the kernel's addresses"),
        (("SYSLOG",), "CAP_SYS_PTRACE"),
    ],
    ids=["both", "no SYSLOG", "no SYS_PTRACE"],
)
def test_a_pod_that_watches_others_needs_two_capabilities(
    caps: tuple[str, ...], says: str, kubelet: Node, tracing: Path, tmp_path: Path
) -> None:
    """With a root that it cannot write, the runtime's seccomp profile and no new privileges. Its
    image is this machine's Python."""
    (reports := tmp_path / "reports").mkdir()
    log = tmp_path / "log"
    places = {"/usr", "/lib", "/lib64", *shown()}
    watched = f"{kubelet.namespace}/web-*"
    watcher = kubelet.pod("observer", f"{kubelet.namespace}-watch", host_pids=True, logs=tmp_path)
    with watcher as pod, kubelet.pod("web-1") as web:
        observer = pod.run(
            *("observer", CAPADVISE, "attach", "--no-tui", "-o", "/reports", watched),
            mounts=[(str(tracing), "/sys/kernel/tracing"), (str(reports), "/reports")],
            shown=[place for place in sorted(places) if Path(place).exists()],
            more=caps,
            less=["ALL"],
            restrained=True,
            log="log",
        )
        until(lambda: says in log.read_text(), shows=log.read_text)
        if "no container yet" not in says:
            assert pod.ended(observer) == 3
            return
        assert web.ended(web.run("web", "chown", "5", "/data")) == 0
        pod.stop(observer, 60)
    (report,) = (json.loads(path.read_text()) for path in reports.iterdir())
    assert (caps_of(report), report["target"]["pod"]) == ({"CHOWN"}, f"{kubelet.namespace}/web-1")
    assert [each["attached"] for each in report["recordings"]] == [False]
