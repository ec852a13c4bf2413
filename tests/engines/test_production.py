"""What is up stays up: the same containers, on the same data, however a recording ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import free
from tests.support.containers import BOX, ENVIRONMENT, MARK, call, record
from tests.support.runs import CAPADVISE
from tests.support.terminal import Terminal
from tests.support.wait import until

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("boxes")]

STAYS = "trap 'exit 0' TERM; while :; do sleep 0.2; done"
HANDLES_SIGTERM = "grep -q '^SigCgt:.*[4-7c-f]...$' /proc/$PID/status"
"""Before that, the first process of a container can only be killed."""
SERVICES: dict[str, dict[str, Any]] = {
    "web": {
        "command": ["sh", "-c", f"chown 5 /data/file; echo $$RANDOM > /own/web; {STAYS}"],
        "volumes": ["./own:/own", "data:/v"],
        "container_name": f"{MARK}-named",
        "restart": "always",
        "depends_on": ["db"],
        "healthcheck": {"test": ["CMD", "true"], "interval": "1s"},
    },
    "db": {"command": ["sh", "-c", f"chown 6 /v; {STAYS}"], "volumes": ["base:/v"]},
    "job": {"command": ["sh", "-c", STAYS]},
}


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Path]:
    """A project of three services that is up."""
    services = {
        name: {"image": BOX, "networks": ["lan"], **service} for name, service in SERVICES.items()
    }
    subnet = free.subnet()
    services["web"] |= {
        "ports": [f"127.0.0.1:{free.port()}:80"],
        "networks": {"lan": {"ipv4_address": f"{subnet}.10"}},
    }
    more = {
        "volumes": {"data": {}, "base": {}},
        "networks": {"lan": {"ipam": {"config": [{"subnet": f"{subnet}.0/24"}]}}},
    }
    (tmp_path / "own").mkdir()
    file = tmp_path / "compose.yaml"
    file.write_text(yaml.safe_dump({"name": MARK, "services": services, **more}))
    done = call("docker", "compose", "up", "-d", "--wait", cwd=tmp_path)
    try:
        assert done.returncode == 0, done.stderr
        yield tmp_path
    finally:
        call("docker", "compose", "down", "-v", "-t", "0", cwd=tmp_path)


def _as_it_is(folder: Path) -> dict[str, object]:
    """Containers with all that the engine says of them, volumes, and what is in the folder."""
    ids = call("docker", "ps", "-aq", f"--filter=label=com.docker.compose.project={MARK}")
    inspected = json.loads(call("docker", "inspect", *sorted(ids.stdout.split())).stdout)
    for one in inspected:
        one["State"].pop("Health", None)  # it goes on being checked
        del one["ExecIDs"]
        one["Mounts"].sort(key=lambda mount: mount["Destination"])  # listed in any order
    files = {file.name: file.read_bytes() for file in (folder / "own").iterdir()}
    return {**_flat("", inspected), **_flat("own", files), **_flat("volumes", _volumes())}


def _flat(path: str, value: object) -> dict[str, object]:
    """Each value by its path: a difference is one line."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, one in items for k, v in _flat(f"{path}/{key}", one).items()}
    return {path: value}


def _volumes() -> list[str]:
    listed = call("docker", "volume", "ls", "--quiet").stdout.split()
    return [name for name in listed if name.startswith(MARK)]


def _ours() -> list[str]:
    """What is there of these recordings, not of those that others make at the same time."""
    filters = ["--filter=label=capadvise.recording", f"--filter=ancestor={BOX}"]
    containers = call("docker", "ps", "-a", *filters, "--format={{.Names}}").stdout.split()
    listed = call("docker", "network", "ls", "--format={{.Name}}").stdout
    networks = re.findall(r"^capadvise-recording-(\d+)-.*$", listed, re.MULTILINE)
    return [*containers, *(pid for pid in networks if not os.path.exists(f"/proc/{pid}"))]


@pytest.mark.parametrize(
    ("options", "services"), [((), ()), (("--prove",), ("db",))], ids=["run", "prove"]
)
def test_what_is_up_is_not_touched(
    up: Path, options: tuple[str, ...], services: tuple[str, ...]
) -> None:
    before = _as_it_is(up)
    passes = 'docker exec "$CONTAINER_DB" true'
    seen = record(
        up / "reports",
        *("docker", "compose", "up", *services),
        options=("--check", passes, *options),
        cwd=up,
    )
    report = json.loads((up / "reports" / "db.json").read_text())
    assert report["proposal"]["cap_add"] == ["CHOWN"], seen.stderr
    assert f"{MARK}-db-1" in seen.stderr
    assert "not touched" in seen.stderr
    assert _as_it_is(up) == before
    assert not _ours()


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("options", [(), ("--replace",)], ids=["beside", "replace"])
def test_however_it_ends(up: Path, ending: signal.Signals, options: tuple[str, ...]) -> None:
    """In its place, the containers that were up are the same afterwards, and up."""
    before = _as_it_is(up)
    words = [CAPADVISE, "run", "-q", *options, "--", "docker", "compose", "up", "web"]
    process = subprocess.Popen(words, cwd=up, env=ENVIRONMENT, start_new_session=True)
    until(lambda: any(name.endswith("web-1") for name in _ours()), 60)
    time.sleep(1)
    process.send_signal(ending)
    process.wait(60)
    until(lambda: not _ours(), 60)
    if not options:
        assert _as_it_is(up) == before
        return
    until(
        lambda: (
            call("docker", "inspect", "-f", "{{.State.Running}}", f"{MARK}-named").stdout
            == "true\n"
        ),
        60,
    )
    after = _as_it_is(up)
    lasting = [path for path in before if "/State/" not in path and "/NetworkSettings/" not in path]
    assert {path: after.get(path) for path in lasting if not path.startswith("own")} == {
        path: before[path] for path in lasting if not path.startswith("own")
    }


def test_a_terminal_that_closes_ends_it(up: Path) -> None:
    words = [CAPADVISE, "run", "--no-tui", "--replace", "--", "docker", "compose", "up", "job"]
    terminal = Terminal(words, up, ENVIRONMENT)
    terminal.expect("start it again? [y/N]")
    terminal.type("y\n")
    until(lambda: any("job-1" in name for name in _ours()), 60)
    terminal.close()
    assert not _ours()
    words = ["docker", "inspect", "-f", "{{.State.Running}}", f"{MARK}-job-1"]
    assert call(*words).stdout == "true\n"


@pytest.mark.parametrize(("answer", "code"), [("n", 130), ("y", 0)])
def test_on_a_terminal_replace_asks_first(up: Path, answer: str, code: int) -> None:
    before = _as_it_is(up)
    words = [CAPADVISE, "run", "--no-tui", "--replace", "--check", HANDLES_SIGTERM, "--"]
    terminal = Terminal([*words, "docker", "compose", "up", "job"], up, ENVIRONMENT)
    terminal.expect(f"stop {MARK}-job-1 now, record in its place, and start it again? [y/N]")
    terminal.type(f"{answer}\n")
    terminal.expect("nothing was stopped" if code else " needs no capability (")
    assert terminal.end() == code
    os.close(terminal.fd)
    assert not _ours()
    if code:
        assert _as_it_is(up) == before
    state = call("docker", "inspect", "-f", "{{.State.Running}}", f"{MARK}-job-1")
    assert state.stdout == "true\n"


def test_a_name_that_is_taken_and_data_in_use(tmp_path: Path) -> None:
    """Of a container that compose has not made."""
    own = tmp_path / "own"
    own.mkdir()
    name = f"{MARK}-taken"
    start = (
        "--name",
        name,
        "-v",
        f"{own}:/own",
        "-v",
        f"{MARK}-vol:/v",
        "-p",
        f"127.0.0.1:{free.port()}:80",
    )
    script = f"echo $RANDOM > /own/x; echo $RANDOM > /v/x; {STAYS}"
    call("docker", "run", "-d", *start, BOX, "sh", "-c", script)
    try:
        is_up = ["docker", "exec", name, "cat", "/v/x"]
        volume = until(lambda: call(*is_up).stdout)  # written after the other one
        before = (own / "x").read_text()
        words = ("docker", "run", *start, BOX, "sh", "-c", "echo new > /own/x; echo new > /v/x")
        seen = record(tmp_path / "report.json", *words)
        assert seen.code == 0, seen.stderr
        assert f"{name}: not touched" in seen.stderr
        assert (own / "x").read_text() == before
        assert call(*is_up).stdout == volume
    finally:
        call("docker", "rm", "-f", name)
        call("docker", "volume", "rm", f"{MARK}-vol")
    assert not _ours()


def test_a_check_reaches_the_port_that_stands_for_a_taken_one(up: Path) -> None:
    """Of the recording, not of what is up."""
    served = {"image": BOX, "command": ["httpd", "-f", "-p", "80", "-h", "/data"]}
    file = up / "compose.yaml"
    project = yaml.safe_load(file.read_text())
    project["services"]["web"] |= served
    file.write_text(yaml.safe_dump(project))
    port = project["services"]["web"]["ports"][0].split(":")[1]
    check = f"curl -fs localhost:{port}/file >/dev/null && echo through $PORT_{port}"
    seen = record(
        up / "reports", *("docker", "compose", "up", "web"), options=("--check", check), cwd=up
    )
    assert "The health check passed" in " ".join(seen.stderr.split())
    stored = json.loads((up / "reports" / "web.json").read_text())
    assert stored["workload"]["check"] == check
