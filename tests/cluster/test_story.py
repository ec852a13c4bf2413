"""The story of docs/kubernetes.md on a real cluster: only where KUBECONFIG points to one.

``CAPADVISE_IMAGE`` is the observers' image, which the cluster can pull or has
(demos/image/README.md); ``CAPADVISE_TEST_IMAGE`` one with busybox (default:
docker.io/library/busybox:1.36). Everything happens in a namespace that is made for it, and in
``capadvise``. The rights of a cluster's administrator are needed. It takes about three minutes:

    KUBECONFIG=~/.kube/config CAPADVISE_IMAGE=registry.example/capadvise pytest -n0 tests/cluster
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from capadvise.judgement.conclusion import ADDS_ONLY, standing_of
from capadvise.model.caps import parse_set
from capadvise.report.load import load
from tests.support.recordings import CATALOG
from tests.support.runs import CAPADVISE
from tests.support.wait import until

pytestmark = pytest.mark.skipif(
    not os.environ.get("KUBECONFIG") or not os.environ.get("CAPADVISE_IMAGE"),
    reason="KUBECONFIG and CAPADVISE_IMAGE point to no cluster",
)
PAGE = Path(__file__).parents[2] / "capadvise" / "docs" / "kubernetes.md"
ALWAYS = parse_set(["CHOWN", "SETGID", "SETUID"])
NEEDED = ALWAYS | parse_set(["NET_BIND_SERVICE"])
"""From containerd 2 on, pods may bind every port: then the last one is not needed."""
MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers:
        - name: web
          image: {image}
          command: [sh, -c, "chown 999:999 /srv && exec httpd -f -p 80 -u nobody -h /srv"]
          readinessProbe: {{tcpSocket: {{port: 80}}, periodSeconds: 1}}
          securityContext:
            privileged: true
          volumeMounts:
            - {{name: data, mountPath: /srv}}
      volumes:
        - {{name: data, emptyDir: {{}}}}
"""


OBSERVERS = """\
apiVersion: v1
kind: Namespace
metadata: {name: capadvise, labels: {pod-security.kubernetes.io/enforce: privileged}}
"""


def call(*words: object, given: str = "", env: dict[str, str] | None = None) -> str:
    """A command that has to succeed: what it prints."""
    done = subprocess.run(
        [*map(str, words)],
        input=given,
        capture_output=True,
        text=True,
        env=os.environ | (env or {}),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ours() -> list[str]:
    """The pods of ours that run."""
    left = call("kubectl", "get", "pods", "-A", "-l", "capadvise.run", "-o", "json")
    found = [pod["metadata"] for pod in json.loads(left)["items"]]
    return [each["name"] for each in found if not each.get("deletionTimestamp")]


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """One of our own, with the deployment."""
    name = f"capadvise-test-{os.getpid()}"
    call("kubectl", "create", "namespace", name)
    image = os.environ.get("CAPADVISE_TEST_IMAGE", "docker.io/library/busybox:1.36")
    try:
        call("kubectl", "apply", "-n", name, "-f", "-", given=MANIFEST.format(image=image))
        call("kubectl", "rollout", "status", "-n", name, "deploy/web", "--timeout=180s")
        yield name
    finally:
        call("kubectl", "delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def folder(namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With what a recording with a restart has seen."""
    made = tmp_path_factory.mktemp("web")
    image = os.environ["CAPADVISE_IMAGE"]
    words = ("record", "deploy/web", "-n", namespace, "--restart", "--for", "30s")
    call(CAPADVISE, "kubernetes", *words, "--image", image, "-o", made)
    return made


def test_a_restart_shows_what_it_needs(folder: Path) -> None:
    report = load(folder / "web.json", CATALOG)
    assert ALWAYS <= report.proposal.recommended <= NEEDED
    assert standing_of(report)[0] not in ADDS_ONLY
    assert ours() == []


def test_the_server_takes_the_set_and_the_patch(namespace: str, folder: Path) -> None:
    report = folder / "web.json"
    out = call(CAPADVISE, "kubernetes", "dry-run", "deploy/web", "-n", namespace, report)
    assert out.count("the server takes it as it is") == 2
    patch = folder / "web.patch.yaml"
    call(CAPADVISE, "emit", report, "--format", "kubernetes", "-o", patch)
    call("kubectl", "patch", "-n", namespace, "deploy/web", "--patch-file", patch)
    call("kubectl", "rollout", "status", "-n", namespace, "deploy/web", "--timeout=180s")
    live = yaml.safe_load(call("kubectl", "get", "-n", namespace, "deploy/web", "-o", "yaml"))
    (container,) = live["spec"]["template"]["spec"]["containers"]
    assert container["securityContext"]["privileged"] is False
    added = parse_set(container["securityContext"]["capabilities"]["add"])
    assert added == load(report, CATALOG).proposal.recommended


def test_copies_of_a_pod_prove_it_and_a_policy_keeps_it(namespace: str, folder: Path) -> None:
    proven = folder / "proven.json"
    verb = ("prove", "deploy/web", "-n", namespace, folder / "web.json", "--timeout", "30s")
    call(CAPADVISE, "kubernetes", *verb, "-o", proven)
    report = load(proven, CATALOG)
    assert report.proposal.minimal == load(folder / "web.json", CATALOG).proposal.recommended
    assert report.proven is not None
    assert report.proven.cautions == ()
    assert ours() == []
    policy = call(CAPADVISE, "kubernetes", "keep", "deploy/web", "-n", namespace, proven)
    call("kubectl", "apply", "-f", "-", given=policy)
    try:
        until(lambda: "container web is privileged" in refused(namespace), 60)  # it takes a moment
        call("kubectl", "rollout", "restart", "-n", namespace, "deploy/web")
        call("kubectl", "rollout", "status", "-n", namespace, "deploy/web", "--timeout=180s")
    finally:
        call("kubectl", "delete", "-f", "-", given=policy)


def refused(namespace: str) -> str:
    """What the server has against a replica that is privileged. It is only asked."""
    pods = json.loads(
        call("kubectl", "get", "pods", "-n", namespace, "-l", "app=web", "-o", "json")
    )
    made = {key: pods["items"][0]["metadata"][key] for key in ("ownerReferences", "labels")}
    container = {"name": "web", "image": "x", "securityContext": {"privileged": True}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web-test", "namespace": namespace, **made},
        "spec": {"containers": [container]},
    }
    words = ["kubectl", "create", "--dry-run=server", "-f", "-"]
    return subprocess.run(words, input=json.dumps(pod), capture_output=True, text=True).stderr


def test_the_rights_that_the_page_names_are_enough(
    namespace: str, folder: Path, tmp_path: Path
) -> None:
    """For somebody who has no others: an account with a token."""
    (roles,) = re.findall(r"(?s)```yaml\n(.*?)```", PAGE.read_text())
    until(lambda: phase_of_observers() != "Terminating", 120)
    made = phase_of_observers() == ""
    if made:
        call("kubectl", "apply", "-f", "-", given=OBSERVERS)
    account = f"{namespace}:reader"
    try:
        call("kubectl", "create", "serviceaccount", "reader", "-n", namespace)
        given = roles.replace("namespace: prod", f"namespace: {namespace}")
        call("kubectl", "apply", "-f", "-", given=given)
        for role, where in (("observe", "capadvise"), ("observed", namespace)):
            words = ("create", "rolebinding", role, f"--role={role}", "-n", where)
            call("kubectl", *words, f"--serviceaccount={account}")
        env = {"KUBECONFIG": str(as_account(namespace, "reader", tmp_path / "kubeconfig"))}
        image = os.environ["CAPADVISE_IMAGE"]
        words = ("record", "deploy/web", "-n", namespace, "--for", "5s", "--image", image)
        call(CAPADVISE, "kubernetes", *words, "-o", tmp_path / "web", env=env)
        report = load(tmp_path / "web" / "web.json", CATALOG)
        assert standing_of(report)[0] in ADDS_ONLY
    finally:
        call(
            *("kubectl", "delete", "rolebinding,role", "observe", "-n", "capadvise"),
            "--ignore-not-found",
        )
        if made:
            call("kubectl", "delete", "namespace", "capadvise", "--wait=false")


def phase_of_observers() -> str:
    """Of their namespace; empty where there is none."""
    words = ["kubectl", "get", "namespace", "capadvise", "--ignore-not-found"]
    return call(*words, "-o", "jsonpath={.status.phase}").strip()


def as_account(namespace: str, name: str, path: Path) -> Path:
    """A kubeconfig for the cluster of ours, with the token of an account."""
    view = call("kubectl", "config", "view", "--minify", "--flatten", "-o", "json")
    config = json.loads(view)
    token = call("kubectl", "create", "token", name, "-n", namespace, "--duration=10m").strip()
    config["users"] = [{"name": one["name"], "user": {"token": token}} for one in config["users"]]
    path.write_text(json.dumps(config))
    path.chmod(0o600)
    return path
