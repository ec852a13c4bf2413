"""The program of a report compared with the one that a file runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from capadvise.catalog import default
from capadvise.judgement.identity import differs, other_user
from capadvise.judgement.report import Report
from capadvise.model.target import Target
from tests.support.recordings import BIND, report_of


def of(kind: str, *argv: str, user: str = "0:0", **more: str) -> Report:
    target = Target(kind, more.pop("name", "web"), argv, "/", user, **more)  # type: ignore[arg-type]
    return replace(report_of(BIND), target=target)


WEB = of("command", "python3", "demos/web/server.py")
NGINX = of("command", "/usr/sbin/nginx", "-g", "daemon off;")
UNIT = of("unit", "systemctl", "restart", "nginx.service", name="nginx")
IMAGE = of("container", "docker", "run", "nginx", image="docker.io/library/nginx:1.27")


@pytest.mark.parametrize(
    ("report", "declared"),
    [
        (WEB, {"command": ("/usr/bin/redis-server", "/etc/redis.conf")}),
        (WEB, {"command": ("python3", "other.py")}),
        (WEB, {"image": "redis:7"}),
        (WEB, {"unit": "redis-server.service"}),
        (NGINX, {"command": ("/usr/sbin/apache2", "-k", "start")}),
        (NGINX, {"image": "postgres"}),
        (UNIT, {"unit": "redis.service", "command": ("/usr/bin/redis-server",)}),
        (IMAGE, {"image": "redis"}),
        (IMAGE, {"image": "registry.example/team/redis@sha256:00"}),
        (IMAGE, {"unit": "redis-server.service"}),
        (of("command", "sudo", "nginx"), {"command": ("/usr/bin/redis-server",)}),
    ],
)
def test_another_program_is_told(report: Report, declared: dict[str, str]) -> None:
    assert differs(report, default().known_index, **declared)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("report", "declared"),
    [
        (WEB, {"command": ("/usr/bin/python3.11", "/srv/server.py", "--port", "80")}),
        (WEB, {"command": ("sh", "-c", "exec $PROGRAM")}),
        (WEB, {"image": "registry.example/mine"}),
        (WEB, {}),
        (NGINX, {"command": ("/usr/sbin/nginx",)}),
        (NGINX, {"command": ("env", "A=1", "nginx")}),
        (NGINX, {"image": "nginx:1.25"}),
        (NGINX, {"unit": "nginx.service"}),
        (UNIT, {"unit": "nginx.service", "command": ("/opt/other",)}),
        (of("unit", "systemctl", "restart", "a@1.service"), {"unit": "a@.service"}),
        (IMAGE, {"image": "mirror.example/nginx:latest"}),
        (IMAGE, {"image": "${IMAGE}"}),
        (of("container", "docker", "start", "x", image="sha256:" + "0" * 64), {"image": "redis"}),
        (of("process", "redis-server *:7799"), {"command": ("/usr/bin/redis-server", "x.conf")}),
        (of("process", "nginx: worker process"), {"unit": "nginx.service"}),
        (of("command", "sh", "-c", "nginx"), {"image": "redis"}),
    ],
)
def test_the_same_or_unknown_is_not(report: Report, declared: dict[str, str]) -> None:
    assert differs(report, default().known_index, **declared) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("recorded", "declared", "differ"),
    [
        ("0:0", "redis", True),
        ("0:0", "0", False),
        ("0:0", "root", False),
        ("0:0", None, False),
        ("0:0", "$USER", False),
        ("33:33", "33", False),
        ("33:33", "34:33", True),
        ("33:33", "www-data", False),
        ("33:33", "root", True),
    ],
)
def test_another_user_is_told(recorded: str, declared: str | None, differ: bool) -> None:
    assert bool(other_user(of("command", "nginx", user=recorded), declared)) is differ
