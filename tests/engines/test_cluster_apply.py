"""A patched manifest reaches the live object, also one that kubectl apply has not made."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from capadvise.cli import main
from capadvise.model.target import Target
from capadvise.report.save import save
from tests.support.cluster_server import serving
from tests.support.recordings import BIND, CATALOG, report_of
from tests.support.required import tool

MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: prod}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: web:1
          securityContext:
            privileged: true
            capabilities:
              add: [NET_ADMIN]
"""


@pytest.mark.parametrize("checks", [(), (BIND,)], ids=["nothing", "one"])
def test_what_is_taken_away_is_gone_from_what_lives(
    checks: tuple[Any, ...], tmp_path: Path
) -> None:
    """``kubectl apply`` removes only what it has written itself: of others' lines, what is left
    out of a manifest stays."""
    tool("kubectl")
    context = {"privileged": True, "capabilities": {"add": ["NET_ADMIN"]}}
    template = {
        "spec": {"containers": [{"name": "web", "image": "web:1", "securityContext": context}]}
    }
    target = Target("container", "web", (), "/", "0:0", image="web:1", pod="prod/web-x")
    save(tmp_path / "web.json", replace(report_of(*checks), target=target), CATALOG)
    manifest = tmp_path / "web.yaml"
    manifest.write_text(MANIFEST)
    into = ("emit", str(tmp_path / "web.json"), "--format", "kubernetes", "--into", str(manifest))
    assert main([*into, "--service", "deployment/web/web"]) == 0
    with serving(tmp_path) as cluster:
        cluster.deployment("web", template, 1, ["one"])
        words = ["kubectl", "apply", "--validate=false", "-f", manifest]
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        live = cluster.objects["/apis/apps/v1/namespaces/prod/deployments/web"]
    (container,) = live["spec"]["template"]["spec"]["containers"]
    assert container["securityContext"]["privileged"] is False
    assert container["securityContext"]["capabilities"] == {
        "drop": ["ALL"],
        "add": ["NET_BIND_SERVICE"] if checks else [],
    }
