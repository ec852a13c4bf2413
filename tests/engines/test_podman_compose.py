"""podman-compose: its services are recorded and proven as docker compose's are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.containers import BOX, MARK, PODMAN, call, containers, record
from tests.support.required import tool

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("boxes")]

COMPOSE = ("podman-compose", f"--podman-args={' '.join(PODMAN[1:])}")
STAYS = "trap 'exit 0' TERM; while :; do sleep 0.2; done"
NAME = f"{MARK}-pc"
SERVICES = {
    "web": {
        "command": ["sh", "-c", f"set -e; chown 5 /v; {STAYS}"],
        "volumes": ["data:/v"],
        "extra_hosts": ["elsewhere:1.2.3.4"],
        "devices": ["/dev/null:/dev/other:rw"],
        "depends_on": ["db"],
        "healthcheck": {"test": ["CMD", "grep", "-q", "elsewhere", "/etc/hosts"]},
    },
    "db": {"command": ["sh", "-c", STAYS]},
}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    tool("podman-compose")
    services = {name: {"image": BOX, **service} for name, service in SERVICES.items()}
    content = {"name": NAME, "services": services, "volumes": {"data": {}}}
    (tmp_path / "podman-compose.yaml").write_text(yaml.safe_dump(content))
    yield tmp_path
    call(*COMPOSE, "down", "-v", "-t", "0", cwd=tmp_path)


def _left() -> list[str]:
    """What is there of it, but for what the user's own call would have left."""
    pods = call(*PODMAN, "pod", "ls", "--format={{.Name}}").stdout.split()
    volumes = call(*PODMAN, "volume", "ls", "--format={{.Name}}").stdout.split()
    ours = [one for one in (*pods, *volumes) if NAME in one or "capadvise-trial" in one]
    return [
        one for one in (*containers("podman", f"ancestor={BOX}"), *ours) if one != f"{NAME}_data"
    ]


def test_the_services_are_recorded(project: Path) -> None:
    inside = "test -c /dev/other && ls -ldn /v | grep -q ' 5  *0 '"
    passes = f'podman --runtime runc exec "$CONTAINER_WEB" sh -c "{inside}"'
    seen = record(project / "reports", *COMPOSE, "up", options=("--check", passes), cwd=project)
    reports = [json.loads((project / "reports" / f"{name}.json").read_text()) for name in SERVICES]
    assert [one["proposal"]["cap_add"] for one in reports] == [["CHOWN"], []], seen.stderr
    assert [one["target"]["service"] for one in reports] == ["web", "db"]
    assert not _left()


@pytest.mark.long
def test_they_are_proven_with_both_starts(project: Path) -> None:
    """Each by its own health check, or by what it does."""
    seen = record(project / "reports", *COMPOSE, "up", options=("--prove",), cwd=project)
    assert seen.code == 0, seen.stderr
    for name, minimal in (("web", ["CAP_CHOWN"]), ("db", [])):
        report = json.loads((project / "reports" / f"{name}.json").read_text())
        assert report["proposal"]["minimal"] == minimal, seen.stderr
        assert max(one["start"] for one in report["recordings"]) == 2
    assert not _left()


def test_a_run_is_about_the_one_service(project: Path) -> None:
    words = (*COMPOSE, "run", "--rm", "-T", "db", "chown", "7", "/tmp")
    seen = record(project / "report.json", *words, cwd=project)
    assert seen.code == 0, seen.stderr
    assert (seen.report["target"]["service"], seen.recommended) == ("db", {"CHOWN"})
    assert not _left()


def test_where_nothing_starts_it_says_so(project: Path) -> None:
    """podman-compose ends with 0 all the same."""
    file = project / "podman-compose.yaml"
    file.write_text(file.read_text().replace(BOX, "localhost/none/of/this:1"))
    seen = record(project / "report.json", *COMPOSE, "up", "db", cwd=project)
    assert seen.code == 3
    assert "podman-compose started no container" in seen.stderr
