"""Labels: builders write what ``emit`` prints into an image, and it is read back from there."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from capadvise.catalog import default
from capadvise.report.save import save
from tests.support.containers import CLIENTS, ENVIRONMENT, call
from tests.support.recordings import report
from tests.support.required import tool
from tests.support.runs import CAPADVISE

pytestmark = pytest.mark.kernel
IMAGE = f"localhost/capadvise-label-{os.getpid()}:1"


def capadvise(*words: str) -> str:
    done = subprocess.run(
        [CAPADVISE, *words], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_a_label_of_a_report_is_read_back_from_the_image(engine: str, tmp_path: Path) -> None:
    tool(engine)
    path = tmp_path / "r.json"
    save(path, report(), default())
    lines = capadvise("emit", str(path), "--format", "label")
    (tmp_path / "Dockerfile").write_text(f"FROM scratch\n{lines}")
    built = call(*CLIENTS[engine], "build", "-t", IMAGE, str(tmp_path))
    assert built.returncode == 0, built.stderr
    try:
        said = capadvise("known", f"image:{IMAGE}")
        compose = capadvise("known", f"image:{IMAGE}", "--format", "compose")
        (tmp_path / "compose.yaml").write_text(f"services:\n  a:\n    image: {IMAGE}\n")
        gate = capadvise("check", "--images", str(tmp_path / "compose.yaml"))
        if engine == "podman":
            layout = tmp_path / "layout"
            words = ("save", "--format=oci-dir", "-o", str(layout), IMAGE)
            assert call(*CLIENTS[engine], *words).returncode == 0
            assert capadvise("known", f"oci:{layout}").splitlines()[1:] == said.splitlines()[1:]
    finally:
        call(*CLIENTS[engine], "image", "rm", "-f", IMAGE)
    assert "recommended set: NET_BIND_SERVICE, NET_ADMIN" in said
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert f"sha256:{digest}" in said.replace("\n", "").replace(" ", "")
    assert "a claim, not a proof" in " ".join(said.split())
    assert "- NET_ADMIN # a label of the image says so" in compose
    assert "[label-needs]" in gate
    assert json.loads(path.read_text())["proposal"]["cap_add"] == ["NET_BIND_SERVICE", "NET_ADMIN"]
