"""Settings of a container's own network decide what it needs there; what is emitted works there."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import images
from tests.support.containers import BOX, CLIENTS, MARK, call, record
from tests.support.runs import CAPADVISE

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("boxes")]
PING = f"{MARK}-ping:1"
PORTS = "net.ipv4.ip_unprivileged_port_start"
GROUPS = "net.ipv4.ping_group_range"
# Its input stays open: at its end the client would leave, whether it has sent something or not.
BIND = (
    *("sh", "-c"),
    "mkfifo /tmp/in; nc -l -p 80 <>/tmp/in >/tmp/got & "
    "for i in $(seq 30); do sleep 0.3; kill -0 $! || break; "
    "echo works | nc 127.0.0.1 80 && break; done 2>&-; wait; grep . /tmp/got",
)


@pytest.fixture(scope="module")
def ping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An image with iputils' ping, in docker and in podman."""
    tar = tmp_path_factory.mktemp("ping") / "ping.tar"
    images.debian(tar, ("iputils-ping",), {})
    for client in CLIENTS.values():
        images.load(tar, PING, client)
    yield
    for client in CLIENTS.values():
        call(*client, "image", "rm", "-f", PING)


@pytest.mark.usefixtures("ping")
@pytest.mark.parametrize("engine", CLIENTS)
@pytest.mark.parametrize(("groups", "recommended"), [("1 0", {"NET_RAW"}), ("0 9999", set())])
def test_ping_needs_a_raw_socket_where_its_group_may_not_ping(
    engine: str, groups: str, recommended: set[str], tmp_path: Path
) -> None:
    words = ("run", "--rm", "--network=none", f"--sysctl={GROUPS}={groups}")
    seen = record(
        tmp_path / "report.json", *CLIENTS[engine], *words, PING, "ping", "-c3", "127.0.0.1"
    )
    assert (seen.recommended, seen.code) == (recommended, 0), seen.stderr
    assert seen.report["posture"]["sysctls"][GROUPS].split() == groups.split()


def emitted(report: Path, engine: str) -> list[str]:
    done = subprocess.run(
        [CAPADVISE, "emit", str(report), "--format", engine], capture_output=True, text=True
    )
    return shlex.split(done.stdout, comments=True)


@pytest.mark.parametrize("engine", CLIENTS)
def test_an_ordinary_user_who_binds_a_low_port(engine: str, tmp_path: Path) -> None:
    """docker gives it no capability whatever is added, so a sysctl does the work; podman makes what
    is added ambient."""
    start = (*CLIENTS[engine], "run", "--rm", "--network=none")
    user = ("--user=1000:1000", "--tmpfs=/tmp:mode=1777")
    closed = f"--sysctl={PORTS}=1024"
    report = tmp_path / "report.json"
    seen = record(report, *start, *user, closed, BOX, *BIND)
    assert seen.recommended == {"NET_BIND_SERVICE"}, seen.stderr
    assert seen.report["posture"]["sysctls"][PORTS] == "1024"
    assert seen.report["target"]["user"] == "1000:1000"
    flags = emitted(report, engine)
    for given, works in ((flags, True), (["--cap-drop=ALL"], False)):
        done = call(*start, *user, closed, *given, BOX, *BIND)
        assert (done.stdout == "works\n") is works, done.stderr
    assert any(PORTS in flag for flag in flags) is (engine == "docker")


@pytest.mark.parametrize("engine", CLIENTS)
def test_what_the_runtime_reads_of_its_own_sets_is_no_doubt_about_the_container(
    engine: str, tmp_path: Path
) -> None:
    """runc reads /proc/self/status in the process that becomes the container's first one."""
    words = ("run", "--rm", "--network=none", BOX)
    seen = record(tmp_path / "report.json", *CLIENTS[engine], *words, "true")
    assert seen.report["conclusion"]["doubts"] == [], seen.stderr
    reads = record(tmp_path / "r.json", *CLIENTS[engine], *words, "cat", "/proc/self/status")
    assert [doubt["cap"] for doubt in reads.report["conclusion"]["doubts"]] == [None]
