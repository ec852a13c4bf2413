"""``capadvise run -- docker run …`` and its like: the container is the target, from its first
instruction to its last, and nothing else is."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from capadvise.targets.client.invocation import recognize
from capadvise.targets.containers import project
from tests.support.containers import BOX, CLIENTS, DEBIAN, MARK, call, composed, containers, record
from tests.support.runs import CAPADVISE

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("boxes")]

HOST = socket.gethostname()
CHOWN = ("chown", "1000:1000", "/data/file")
ROWS = [
    # options, command, recommended, exit status
    ((), ("true",), set(), 0),
    ((), ("sleep", "0.2"), set(), 0),
    ((), ("sh", "-c", "exit 3"), set(), 3),
    ((), CHOWN, {"CHOWN"}, 0),
    (("--cap-drop", "ALL", "--security-opt=no-new-privileges"), CHOWN, {"CHOWN"}, 0),
    ((), ("hostname", "x"), {"SYS_ADMIN"}, 0),
    (("--uts=host",), ("hostname", HOST), {"SYS_ADMIN"}, 0),
    (("--privileged", "--name", f"{MARK}-p"), ("true",), set(), 0),
]


@pytest.mark.parametrize("engine", CLIENTS)
@pytest.mark.parametrize(("options", "command", "recommended", "status"), ROWS)
def test_what_a_container_needs(
    engine: str,
    options: tuple[str, ...],
    command: tuple[str, ...],
    recommended: set[str],
    status: int,
    tmp_path: Path,
) -> None:
    words = (*CLIENTS[engine], "run", "--rm", "--network=none", *options, BOX, *command)
    seen = record(tmp_path / "report.json", *words)
    assert (seen.recommended, seen.code) == (recommended, status), seen.stderr
    target = seen.report["target"]
    assert (target["kind"], target["engine"], target["user"]) == ("container", engine, "0:0")
    assert target["argv"][-len(command) :] == list(command)
    assert seen.programs <= {command[0]}  # nothing of runc, conmon, the shim
    assert not containers(engine)


def test_a_set_uid_program_behind_a_link_is_found_in_the_root_of_the_container(
    tmp_path: Path,
) -> None:
    """As Alpine has su: a link with an absolute path, which leads elsewhere on this machine."""
    files = tmp_path / "bin"
    files.mkdir()
    (files / "bbsuid").write_bytes(Path("/bin/busybox").read_bytes())
    (files / "bbsuid").chmod(0o4755)
    (files / "su").symlink_to("/opt/bench/bbsuid")
    words = ("docker", "run", "--rm", "--network=none", "-v", f"{files}:/opt/bench:ro")
    command = ("sh", "-c", "exec /opt/bench/su -c true root")
    seen = record(tmp_path / "report.json", *words, "--user=1000:1000", BOX, *command)
    assert seen.report["recordings"][0]["setid_exec"] is True, seen.stderr
    emitted = subprocess.run(
        [CAPADVISE, "emit", str(tmp_path / "report.json"), "--format", "docker"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "no-new-privileges" not in emitted


def test_a_need_for_the_host_name_names_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    record(path, "docker", "run", "--rm", "--network=none", BOX, "hostname", "x")
    done = subprocess.run(
        [CAPADVISE, "explain", str(path)], capture_output=True, text=True, timeout=60
    )
    assert "hostname:" in done.stdout, done.stdout


def test_what_docker_init_does_is_not_the_containers(tmp_path: Path) -> None:
    words = ("docker", "run", "--rm", "--init", "--network=none", BOX, *CHOWN)
    seen = record(tmp_path / "report.json", *words)
    assert (seen.recommended, seen.programs) == ({"CHOWN"}, {"chown"})


def test_a_detached_container_is_watched_to_its_end(tmp_path: Path) -> None:
    script = "sleep 1; chown 5 /data/file; exit 4"
    words = ("run", "-d", "--name", f"{MARK}-d", "--network=none", BOX, "sh", "-c", script)
    for engine, client in CLIENTS.items():
        seen = record(tmp_path / "report.json", *client, *words)
        assert (seen.recommended, seen.code) == ({"CHOWN"}, 4), (engine, seen.stderr)
        assert seen.report["target"]["container"] == f"{MARK}-d"
        assert not containers(engine)  # it has every capability, and could be started again
        assert f"{MARK}-d: removed" in seen.stderr
        assert "recording until the containers end: press Ctrl-C" in seen.stderr


def test_what_a_detached_container_said_before_it_failed_is_shown(tmp_path: Path) -> None:
    """It is removed, and its log with it."""
    failing = ("sh", "-c", "echo no configuration >&2; exit 3")
    command = ("docker", "run", "-d", "--network=none", f"--name={MARK}-fails", BOX, *failing)
    seen = record(tmp_path / "r.json", *command)
    assert f"capadvise: {MARK}-fails: no configuration\n" in seen.stderr
    assert (seen.code, containers("docker", f"name={MARK}-fails")) == (3, [])


def test_the_check_of_a_container_ends_it(tmp_path: Path) -> None:
    check = 'docker exec "$CONTAINER" test -e /up && test -d /proc/$PID && echo $PIDS'
    words = ("docker", "run", "--rm", "--network=none", BOX, "sh", "-c", "touch /up; sleep 1000")
    seen = record(tmp_path / "report.json", *words, options=("--check", check))
    assert "The health check passed" in " ".join(seen.stderr.split())
    assert seen.report["workload"] | {"kind": "daemon", "check": check} == seen.report["workload"]


PROJECT = {
    "web": {
        "privileged": True,
        "command": ["sh", "-c", "chown 5 /data/file; touch /up; sleep 1000 & wait"],
        "healthcheck": {"test": ["CMD-SHELL", "cat /up && chown 6 /up"], "interval": "1s"},
    },
    "db": {"command": ["sh", "-c", "hostname x; touch /up; sleep 1000"], "cap_drop": ["ALL"]},
    "once": {"command": ["chroot", "/", "true"], "security_opt": ["no-new-privileges"]},
}


def test_each_service_of_a_project_gets_its_own_report(tmp_path: Path) -> None:
    services = {
        name: {"image": BOX, "network_mode": "none", "stop_signal": "KILL", **service}
        for name, service in PROJECT.items()
    }
    file = tmp_path / "compose.yaml"
    file.write_text(yaml.safe_dump({"name": MARK, "services": services}))
    before = file.read_bytes()
    asked = "$(docker inspect --format '{{.State.%s}}' $CONTAINER_%s)"
    states = f"{asked % ('Health.Status', 'WEB')} {asked % ('Status', 'ONCE')}"
    check = f'test "{states}" = "healthy exited" && docker exec $CONTAINER_DB test -e /up'
    up = ("docker", "compose", "up")
    seen = record(tmp_path / "reports", *up, options=("--check", check), cwd=tmp_path)
    reports = {p.stem: json.loads(p.read_text()) for p in (tmp_path / "reports").iterdir()}
    try:
        assert {name: r["proposal"]["cap_add"] for name, r in reports.items()} == {
            "web": ["CHOWN"],
            "db": ["SYS_ADMIN"],
            "once": ["SYS_CHROOT"],
        }, seen.stderr
        assert {name: r["target"]["service"] for name, r in reports.items()} == {
            name: name for name in PROJECT
        }
        phases = {
            (check["program"], check["phase"])
            for check in reports["web"]["recordings"][0]["checks"]
            if check["cap"] == "CAP_CHOWN"
        }
        assert {phase for _, phase in phases} == {"run", "healthcheck"}
        assert reports["web"]["workload"]["check"] == check
        assert reports["once"]["workload"]["check"] is None  # it had ended, and is told by that
        assert file.read_bytes() == before
        privileged = {name: r["target"]["privileged"] for name, r in reports.items()}
        assert privileged == {"web": True, "db": False, "once": False}
        for name in PROJECT:  # as an override of the file that says so
            emit = [CAPADVISE, "emit", f"reports/{name}.json", "--format=compose"]
            emit += ["--output", f"{name}.yaml"]
            subprocess.run(emit, cwd=tmp_path, check=True, capture_output=True)
            says_no = "privileged: false" in (tmp_path / f"{name}.yaml").read_text()
            assert says_no is privileged[name]
        overrides = [f"--file={name}.yaml" for name in PROJECT]
        shown = composed(tmp_path, "--file=compose.yaml", *overrides)
        assert not any(service.get("privileged") for service in shown.values())
    finally:
        subprocess.run(["docker", "compose", "down", "-t", "0"], cwd=tmp_path, capture_output=True)


def test_a_service_that_failed_by_itself_was_not_stopped(tmp_path: Path) -> None:
    """Its time was up when the others were ended, and so was said to be its own."""
    services = {
        "bad": {"command": ["sh", "-c", "chown 5 /data/file; exit 7"]},
        "good": {"command": ["sleep", "1000"], "stop_grace_period": "0s"},
    }
    services = {
        name: {"image": BOX, "network_mode": "none", **service}
        for name, service in services.items()
    }
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump({"name": MARK, "services": services}))
    seen = record(
        tmp_path / "reports", "docker", "compose", "up", options=("--for", "5"), cwd=tmp_path
    )
    reports = {p.stem: json.loads(p.read_text()) for p in (tmp_path / "reports").iterdir()}
    ended = {name: r["recordings"][0]["succeeded"] for name, r in reports.items()}
    assert ended == {"bad": False, "good": None}, seen.stderr


def test_what_docker_was_told_to_stop_has_not_failed(tmp_path: Path) -> None:
    """Here by compose, as another service has ended."""
    services = {
        "ends": {"command": ["sh", "-c", "sleep 1; exit 7"]},
        "goes-on": {"command": ["sleep", "1000"], "stop_grace_period": "0s"},
    }
    services = {
        name: {"image": BOX, "network_mode": "none", **service}
        for name, service in services.items()
    }
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump({"name": MARK, "services": services}))
    words = ("docker", "compose", "up", "--abort-on-container-exit")
    seen = record(tmp_path / "reports", *words, cwd=tmp_path)
    reports = {p.stem: json.loads(p.read_text()) for p in (tmp_path / "reports").iterdir()}
    ended = {name: r["recordings"][0]["succeeded"] for name, r in reports.items()}
    assert ended == {"ends": False, "goes-on": None}, seen.stderr


def test_a_file_of_the_image_that_is_not_changed_is_not_missing(tmp_path: Path) -> None:
    words = ("docker", "run", "--network=none", BOX, "sh", "-c", "chown 5 /data/file || true")
    seen = record(tmp_path / "r.json", *words, options=("--prove",))
    lost = [loss for trial in seen.report["proof"]["trials"] for loss in trial["differences"]]
    assert "/data/file stays as it is in the image" in lost
    assert not [loss for loss in lost if "missing" in loss]


def test_a_file_env_enables_profiles_and_nothing_of_a_recording_stays(tmp_path: Path) -> None:
    """What a service depends on, and the networks, are made for the recording, too."""
    stays = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]
    services: dict[str, Any] = {
        "web": {"command": ["chown", "5", "/data/file"], "depends_on": ["db"]},
        "db": {"command": stays, "profiles": ["data"]},
        "debug": {"command": stays, "profiles": ["debug"]},
    }
    services = {name: {"image": BOX, **service} for name, service in services.items()}
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump({"name": MARK, "services": services}))
    (tmp_path / ".env").write_text("COMPOSE_PROFILES=data\n")
    asked = recognize(("docker", "compose", f"--project-directory={tmp_path}", "up"))
    assert asked is not None
    assert set(project.targets(asked, project.config(asked))) == {"db", "web"}
    seen = record(tmp_path / "r.json", "docker", "compose", "run", "--rm", "web", cwd=tmp_path)
    assert seen.recommended == {"CHOWN"}, seen.stderr
    of_project = f"--filter=label=com.docker.compose.project={MARK}"
    for listing in (("ps", "--all"), ("network", "ls")):
        assert call("docker", *listing, "--quiet", of_project).stdout == ""


@pytest.mark.usefixtures("debian")
def test_compose_run_is_about_the_one_service(tmp_path: Path) -> None:
    services = {
        "job": {"image": BOX, "network_mode": "none", "depends_on": ["other"]},
        "other": {"image": DEBIAN, "network_mode": "none", "command": ["chown", "5", "/data/seed"]},
    }
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump({"name": MARK, "services": services}))
    words = ("docker", "compose", "run", "--rm", "-T", "job", "hostname", "x")
    try:
        seen = record(tmp_path / "report.json", *words, cwd=tmp_path)
        assert (seen.recommended, seen.code) == ({"SYS_ADMIN"}, 0), seen.stderr
        assert seen.report["target"]["service"] == "job"
    finally:
        subprocess.run(["docker", "compose", "down", "-t", "0"], cwd=tmp_path, capture_output=True)


@pytest.mark.parametrize(
    ("command", "environment", "code", "said"),
    [
        (
            "docker run BOX true",
            {"DOCKER_HOST": "tcp://192.0.2.1:2375"},
            3,
            "docker runs on another machine",
        ),
        ("docker -H ssh://host run BOX true", {}, 3, "docker runs on another machine (ssh://host)"),
        ("docker run BOX true", {"DOCKER_HOST": "unix:///nowhere"}, 3, "unix:///nowhere"),
        (
            "podman run BOX true",
            {"CONTAINER_HOST": "tcp://192.0.2.1:1"},
            3,
            "service on another machine",
        ),
        ("podman --remote run BOX true", {}, 3, "podman"),
        ("docker run --rm localhost:1/no/image true", {}, 3, "cannot be pulled"),
        ("docker run BOX true", {"PATH": "/nowhere"}, 127, "docker: command not found"),
        ("docker compose -f /nowhere.yaml up", {}, 3, "/nowhere.yaml"),
        ("docker run --rm --network=none BOX nosuch", {}, 127, "could not start"),
        ("docker run --rm --network=none BOX /data/file", {}, 126, "could not start"),
        ("docker run --rm --nosuch=1 BOX true", {}, 3, "it ended with 125"),
    ],
)
def test_what_cannot_be_started_or_seen_is_said_in_one_line(
    command: str, environment: dict[str, str], code: int, said: str
) -> None:
    words = command.replace("BOX", BOX).split()
    done = subprocess.run(
        [CAPADVISE, "run", "--", *words],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("capadvise: error:")]
    assert (done.returncode, len(lines)) == (code, 1), done.stderr
    assert said in lines[0]
