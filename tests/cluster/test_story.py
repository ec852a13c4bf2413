"""The story of docs/kubernetes.md on a real cluster: only where KUBECONFIG points to one.

``CAPADVISE_IMAGE`` is the observers' image, which the cluster can pull; ``CAPADVISE_TEST_IMAGE`` an
image with busybox (default: docker.io/library/busybox:1.36). Everything happens in a namespace that
is made for it, and in ``capadvise``. The rights of a cluster's administrator are needed.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from capadvise.caps import parse_set
from capadvise.report.load import load
from tests.support.recordings import CATALOG
from tests.support.runs import CAPADVISE

pytestmark = pytest.mark.skipif(
    not os.environ.get("KUBECONFIG") or not os.environ.get("CAPADVISE_IMAGE"),
    reason="KUBECONFIG and CAPADVISE_IMAGE point to no cluster",
)
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


def call(*words: object, code: int = 0, given: str = "") -> str:
    """A command that has to end so: what it prints."""
    done = subprocess.run([*map(str, words)], input=given, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


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
    assert not report.partial
    left = call("kubectl", "get", "pods", "-A", "-l", "capadvise.run", "-o", "json")
    running = [
        pod for pod in json.loads(left)["items"] if not pod["metadata"].get("deletionTimestamp")
    ]
    assert running == []


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
    assert report.proposal.floor == load(folder / "web.json", CATALOG).proposal.recommended
    assert report.proven is not None
    assert report.proven.cautions == ()
    policy = call(CAPADVISE, "kubernetes", "keep", "deploy/web", "-n", namespace, proven)
    call("kubectl", "apply", "-f", "-", given=policy)
    try:
        call("kubectl", "rollout", "restart", "-n", namespace, "deploy/web")
        call("kubectl", "rollout", "status", "-n", namespace, "deploy/web", "--timeout=180s")
    finally:
        call("kubectl", "delete", "-f", "-", given=policy)
