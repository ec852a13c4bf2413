"""Health checks of containers: those of the engine while they fail, and names of services."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.containers import BOX, ENVIRONMENT, MARK, call, containers, record
from tests.support.runs import CAPADVISE
from tests.support.wait import PATIENCE

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("boxes")]


def test_the_engines_own_check_is_told_while_it_fails(tmp_path: Path) -> None:
    health = ("--health-cmd=echo no table; false", "--health-interval=1s", "--health-retries=99")
    words = ("docker", "run", "--rm", "--network=none", *health, BOX, "sleep", "600")
    run = [CAPADVISE, "run", "-o", str(tmp_path / "report.json"), "--", *words]
    with subprocess.Popen(run, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        assert process.stderr is not None
        told = re.compile(r"capadvise: health check: failing for \d+ s, exit 1: no table")
        assert any(told.match(line) for line in process.stderr)
        process.terminate()
        process.communicate(timeout=PATIENCE)


def test_a_check_from_the_host_uses_the_names_of_services(tmp_path: Path) -> None:
    """In the recording and in each trial; the machine's own names stay as they are."""
    serve = "chown 5 /data/file && exec httpd -f -p 80 -h /data"
    web = {"image": BOX, "command": ["sh", "-ec", serve], "stop_signal": "KILL"}
    project = {"name": f"{MARK}-names", "services": {"web": web}}
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump(project))
    before = Path("/etc/hosts").read_bytes()
    check = "curl -fs http://web/file && getent hosts localhost"
    try:
        seen = record(
            tmp_path / "reports",
            *("docker", "compose", "up", "web"),
            options=("--prove", "--check", check),
            cwd=tmp_path,
        )
    finally:
        call("docker", "compose", "down", "-t", "0", cwd=tmp_path)
    report = json.loads((tmp_path / "reports" / "web.json").read_text())
    assert report["proposal"]["minimal"] == ["CAP_CHOWN"], seen.stderr
    assert report["workload"]["check"] == check
    assert Path("/etc/hosts").read_bytes() == before


def test_what_compose_cannot_start_is_not_waited_for(tmp_path: Path) -> None:
    """The others run on, and nothing would end the recording."""
    stays = "trap 'exit 0' TERM; while :; do sleep 0.1; done"
    services = {
        "web": {"image": BOX, "network_mode": "none", "command": ["sh", "-c", stays]},
        "bad": {"image": BOX, "network_mode": "none", "command": ["/nothing"]},
    }
    services["bad"]["depends_on"] = ["web"]
    (tmp_path / "compose.yaml").write_text(json.dumps({"name": MARK, "services": services}))
    words = ("docker", "compose", "up")
    seen = record(tmp_path / "r", *words, options=("--prove",), cwd=tmp_path)
    assert "bad: not started, docker ended with 1" in seen.stderr
    assert (seen.code, containers("docker", f"name={MARK}-")) == (1, [])
