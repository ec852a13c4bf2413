"""Proofs of containers: with the engine's real defaults, the proposal works, and its minimal set
fails without any one member."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from capadvise.kernel.procfs import is_marked
from capadvise.model.caps import Cap
from capadvise.model.workload import Workload
from capadvise.proof.trials.runner import EngineCall, Job, Part, everything, run_once
from capadvise.proof.trials.stop import Stop
from tests.support.containers import (
    BOX,
    CLIENTS,
    DEBIAN,
    ENVIRONMENT,
    IMAGE,
    MARK,
    REDIS,
    call,
    record,
    trials_of,
)
from tests.support.runs import CAPADVISE

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("boxes", "debian")]


def _works(engine: str, flags: list[str], words: tuple[str, ...]) -> bool:
    client = CLIENTS[engine]
    done = subprocess.run(
        [*client, "run", "--rm", "--network=none", *flags, *words],
        capture_output=True,
        timeout=120,
        env=ENVIRONMENT,
    )
    return done.returncode == 0


def _emitted(report: Path, form: str) -> list[str]:
    words = [CAPADVISE, "emit", str(report), "--format", form, "--set", "minimal"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return shlex.split(done.stdout, comments=True)


@pytest.mark.parametrize("engine", CLIENTS)
@pytest.mark.parametrize(
    ("script", "minimal"),
    [("true", set()), ("chown 5 /data/file && hostname x", {"CHOWN", "SYS_ADMIN"})],
)
def test_a_proven_set_works_when_applied_and_no_member_can_go(
    engine: str, script: str, minimal: set[str], tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    words = (BOX, "sh", "-c", script)
    start = (*CLIENTS[engine], "run", "--rm", "--network=none", *words)
    seen = record(report, *start, options=("--prove",))
    assert (seen.minimal, seen.recommended) == (minimal, minimal), seen.stderr
    assert seen.report["proof"]["isolation"] == "container"
    assert _works(engine, _emitted(report, engine), words)
    for member in minimal:
        rest = [f"--cap-add={cap}" for cap in minimal - {member}]
        assert not _works(engine, ["--cap-drop=ALL", *rest], words)
    assert not trials_of(BOX, engine)


_STOPS = "trap 'exit 0' TERM; : > /tmp/up; while :; do sleep 0.1; done"
_AS_ANOTHER = ("setpriv", "--reuid=5", "--clear-groups", "sh", "-c", _STOPS)
_IS_UP = ("--check", 'docker exec "$CONTAINER" test -e /tmp/up')


def test_an_init_is_told_to_stop(tmp_path: Path) -> None:
    """tini has no handler: it waits for signals. It is root, and what it passes them on to is not:
    without KILL, that would be killed in the middle of its work."""
    words = ("docker", "run", "--rm", "--init", "--network=none", DEBIAN, *_AS_ANOTHER)
    seen = record(tmp_path / "report.json", *words, options=_IS_UP)
    assert (kill := seen.need("KILL")) is not None, seen.stdout
    checks = {check["id"]: check for check in seen.report["recordings"][0]["checks"]}
    assert {checks[one]["program"] for one in kill["evidence"]} == {"docker-init"}


@pytest.mark.long
def test_what_a_stop_takes_is_proven_by_what_it_was_refused(tmp_path: Path) -> None:
    words = ("docker", "run", "--rm", "--init", "--network=none", DEBIAN, *_AS_ANOTHER)
    seen = record(tmp_path / "report.json", *words, options=("--prove", *_IS_UP))
    assert seen.minimal == {"KILL", "SETGID", "SETUID"}, seen.stdout
    assert len(seen.report["proof"]["trials"]) < 10  # not by halving


def test_redis_as_root_that_drops_is_proven_by_its_healthcheck(tmp_path: Path) -> None:
    words = ("docker", "run", "--rm", "--network=none", REDIS)
    seen = record(tmp_path / "report.json", *words, options=("--prove",))
    expected = {"CHOWN", "SETUID", "SETGID"}
    assert (seen.recommended, seen.minimal) == (expected, expected), seen.stderr
    assert seen.report["known"]["program"] == "redis"
    assert seen.report["workload"]["check"] == (
        "docker exec \"$CONTAINER\" /bin/sh -c 'redis-cli ping'"
    )
    assert "redis-cli" in {
        check["program"]
        for check in seen.report["recordings"][0]["checks"]
        if check["phase"] == "healthcheck"
    }


NGINX = "nginx -c /etc/nginx/small.conf && curl -fsS -m 2 localhost"
"""The master stays root, its workers do not."""


def test_nginx_as_root_is_proven(tmp_path: Path) -> None:
    """docker opens the low ports of a container's own network: no NET_BIND_SERVICE."""
    words = ("docker", "run", "--rm", "--network=none", DEBIAN, "sh", "-c", NGINX)
    seen = record(tmp_path / "report.json", *words, options=("--prove",))
    assert seen.minimal == {"CHOWN", "SETUID", "SETGID"}, seen.stderr
    assert seen.recommended == seen.minimal


def test_nginx_needs_to_bind_where_low_ports_are_privileged(tmp_path: Path) -> None:
    sysctl = "--sysctl=net.ipv4.ip_unprivileged_port_start=1024"
    words = ("docker", "run", "--rm", "--network=none", sysctl, DEBIAN, "sh", "-c", NGINX)
    seen = record(tmp_path / "report.json", *words)
    assert seen.recommended == {"CHOWN", "SETUID", "SETGID", "NET_BIND_SERVICE"}, seen.stderr


def test_without_any_check_what_listens_and_runs_tells(tmp_path: Path) -> None:
    """A set below which it does not come up fails; one option is enough. What cannot be asked for
    anything is said."""
    serve = "chown 5 /data/file; nc -ll -p 81 -e true & exec httpd -f -p 80 -h /data"
    words = ("docker", "run", "--rm", "--network=none", BOX, "sh", "-ec", serve)
    seen = record(tmp_path / "report.json", *words, options=("--prove",))
    assert (seen.minimal, seen.code) == ({"CHOWN"}, 0), seen.stderr
    words = (
        "listens on tcp 80 and answers http 404 text/html, tcp 81; runs httpd (user 0), nc (user 0)"
    )
    assert words in " ".join(seen.stderr.split())
    check = "$CAPADVISE_CHECK tcp:80/http:404:text/html tcp:81 httpd@0 nc@0"
    assert seen.report["workload"]["check"] == check
    cautions = seen.report["proof"]["cautions"]
    assert any(one.startswith("trials see only that it listens on tcp 81, ") for one in cautions)
    assert any("which is an error on tcp 80 (404)" in one for one in cautions), cautions


_PAGE = """
mkdir -p /srv/cgi-bin
printf '#!/bin/sh\nchown 5 /data/file && s="200 OK" || s="500 Error"\n' > /srv/cgi-bin/index.cgi
printf 'echo "Status: $s"; echo Content-Type: text/html; echo\n' >> /srv/cgi-bin/index.cgi
chmod +x /srv/cgi-bin/index.cgi
exec httpd -f -p 80 -h /srv
"""


def test_a_page_that_becomes_an_error_is_a_failure(tmp_path: Path) -> None:
    """It listens, and speaks HTTP, with no capability at all."""
    words = ("docker", "run", "--rm", "--network=none", BOX, "sh", "-ec", _PAGE)
    seen = record(tmp_path / "report.json", *words, options=("--prove",))
    check = seen.report["workload"]["check"]
    assert "tcp:80/http:200:text/html" in check.split(), seen.stderr
    assert (seen.minimal, seen.code) == ({"CHOWN"}, 0), seen.stderr


def test_a_worker_that_stays_root_is_a_failure(tmp_path: Path) -> None:
    worker = "setpriv --reuid 33 --clear-groups tail -f /dev/null || exec tail -f /dev/null"
    words = ("docker", "run", "--rm", "--network=none", DEBIAN, "sh", "-c", worker)
    seen = record(tmp_path / "report.json", *words, options=("--prove",))
    assert "tail@33" in seen.report["workload"]["check"].split(), seen.stderr
    assert (seen.minimal, seen.code) == ({"SETGID", "SETUID"}, 0), seen.stderr


_STOPS = """
setpriv --reuid 33 --clear-groups sleep 1000 & worker=$!
trap 'kill $worker || sleep 6; sleep 1; exit 0' TERM
while :; do sleep 0.2; done
"""
"""The stop takes longer if the worker of another user cannot be told."""


def test_a_stop_that_its_engine_would_kill_has_failed(tmp_path: Path) -> None:
    """It ends by itself, too late; ten times as long as its usual stop is no measure."""
    words = ("docker", "run", "--rm", "--network=none", "--stop-timeout=3", DEBIAN, "sh", "-c")
    seen = record(tmp_path / "r.json", *words, _STOPS, options=("--prove",))
    assert (seen.minimal, seen.code) == ({"KILL", "SETGID", "SETUID"}, 0), seen.stderr


@pytest.mark.long
def test_a_long_grace_period_is_waited_for(tmp_path: Path) -> None:
    words = ("docker", "run", "--rm", "--network=none", "--stop-timeout=60", BOX, "sh", "-c")
    script = "trap 'sleep 12; exit 0' TERM; chown 5 /data/file; while :; do sleep 0.2; done"
    seen = record(tmp_path / "r.json", *words, script, options=("--prove",))
    assert (seen.recommended, seen.code) == ({"CHOWN"}, 0), seen.stderr
    assert "does not stop" not in seen.stderr


_LATER = "[ ! -e /tmp/was ] || chown 5 /data/file; : > /tmp/was; exec httpd -f -p 80 -h /data"


def test_what_a_second_start_uses_is_told_before_it_has_passed() -> None:
    """The other trials begin then: the rest of it is a wait."""
    words = ("docker", "run", "--network=none", BOX, "sh", "-ec", _LATER)
    work = Workload("daemon", check="$CAPADVISE_CHECK tcp:80/http httpd", timeout=60.0)
    job = Job(words, work, "container", cwd="/", container=EngineCall(("docker",)))
    told: list[Part] = []
    with Stop() as stop:
        outcome, evidence = run_once(job, everything(job), stop, told.append)
    starts = [[recording.start for recording in part.recordings] for _, part in told]
    assert starts == [[1], [1, 2]], outcome.why
    assert [part.rounds_passed for _, part in told] == [1, 1]
    chown = Cap.parse("CHOWN")
    of_later = [one for one in evidence.recordings if one.start == 2]
    assert chown in {check.cap for one in of_later for check in one.checks}
    assert outcome.passed, outcome.why


def test_a_check_from_the_host_reaches_a_published_port(tmp_path: Path) -> None:
    """Of the trial: the user's own port may be taken by what is up."""
    serve = "chown 5 /data/file && exec httpd -f -p 80 -h /data"
    network = f"{MARK}-published"
    start = ("docker", "run", "--rm", "--network", network, "-p", "127.0.0.1:18978:80")
    check = "curl -fs localhost:18978/file"
    call("docker", "network", "create", network)
    try:
        words = (*start, BOX, "sh", "-ec", serve)
        seen = record(tmp_path / "report.json", *words, options=("--prove", "--check", check))
    finally:
        call("docker", "network", "rm", network)
    assert (seen.minimal, seen.code) == ({"CHOWN"}, 0), seen.stderr
    assert seen.report["workload"]["check"] == check


def _project(folder: Path, services: dict[str, Any], **more: Any) -> None:
    each = {
        name: {"image": BOX, "network_mode": "none", "stop_signal": "KILL", **service}
        for name, service in services.items()
    }
    text = yaml.safe_dump({"name": MARK, "services": each, **more})
    (folder / "compose.yaml").write_text(text)


def test_from_privileged_to_a_proven_patch(tmp_path: Path) -> None:
    """A service is proven while the others are up; volumes are copies, and nothing stays."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "file").write_text("mine")
    script = "chown 5 /own/file /fresh && touch /up && sleep 1000"
    web = {
        "privileged": True,
        "command": ["sh", "-c", script],
        "volumes": ["./own:/own", "fresh:/fresh"],
        "healthcheck": {"test": ["CMD", "test", "-e", "/up"], "interval": "1s"},
    }
    once = {"command": ["hostname", "x"]}
    _project(tmp_path, {"web": web, "once": once}, volumes={"fresh": {}})
    reports = tmp_path / "reports"
    seen = record(reports, "docker", "compose", "up", options=("--prove",), cwd=tmp_path)
    try:
        found = {path.stem: json.loads(path.read_text()) for path in reports.iterdir()}
        minimal_sets = {name: report["proposal"]["minimal"] for name, report in found.items()}
        assert minimal_sets == {"web": ["CAP_CHOWN"], "once": ["CAP_SYS_ADMIN"]}, seen.stderr
        (tmp_path / "own" / "file").chmod(0o600)
        patch = [CAPADVISE, "emit", str(reports / "web.json"), "--format", "compose"]
        patch += ["--into", "compose.yaml", "--service", "web"]
        subprocess.run(patch, cwd=tmp_path, check=True, capture_output=True)
        patched = yaml.safe_load((tmp_path / "compose.yaml").read_text())["services"]["web"]
        assert (patched["cap_drop"], patched["cap_add"]) == (["ALL"], ["CHOWN"])
        up = ["docker", "compose", "up", "-d", "--wait", "web"]
        done = subprocess.run(up, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    finally:
        down = ["docker", "compose", "down", "-v", "-t", "0"]
        subprocess.run(down, cwd=tmp_path, capture_output=True)
    assert not trials_of(BOX)
    for kind in ("volume", "network"):
        names = call("docker", kind, "ls", "--format={{.Name}}").stdout.split()
        of_trials = [name.split("-") for name in names if name.startswith("capadvise-trial-")]
        # Others may make trials at the same time.
        assert [each for each in of_trials if not is_marked("-".join(each[2:4]))] == []


def test_volumes_of_the_user_stay_as_they_are(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "count").write_text("")
    script = "echo x >> /own/count && chown 5 /data/file"
    volume = ("-v", f"{own}:/own", "-v", f"{MARK}-kept:/kept")
    words = ("docker", "run", "--rm", "--network=none", *volume, BOX, "sh", "-c", script)
    try:
        seen = record(tmp_path / "report.json", *words, options=("--prove",))
    finally:
        subprocess.run(["docker", "volume", "rm", f"{MARK}-kept"], capture_output=True)
    assert seen.minimal == {"CHOWN"}, seen.stderr
    assert (own / "count").read_text() == "x\n"  # the recording alone


def test_a_daemon_without_a_check_is_not_proven(tmp_path: Path) -> None:
    words = ("docker", "run", "--rm", "--stop-signal=KILL", "--network=none", BOX, "sleep", "1000")
    seen = record(tmp_path / "report.json", *words, options=("--prove", "--for", "4"))
    assert seen.report["proof"] is None
    assert "not proven: " in seen.stderr
    assert "check" in seen.stderr


def test_a_folder_instead_of_an_image_is_recorded_proven_and_left_alone(
    root_file_system: Path, tmp_path: Path
) -> None:
    report, root = tmp_path / "report.json", tmp_path / "root"
    shutil.copytree(root_file_system, root, symlinks=True)
    words = ("--rootfs", str(root), "/bin/sh", "-c", "test ! -e /f && touch /f && chown 5 /f")
    start = (*CLIENTS["podman"], "run", "--rm", "--network=none", *words)
    seen = record(report, *start)
    assert (seen.recommended, seen.report["target"]["name"]) == ({"CHOWN"}, "root"), seen.stderr
    assert seen.report["target"]["image"] is None
    (root / "f").unlink()
    done = subprocess.run(
        [CAPADVISE, "prove", str(report), "-o", str(report)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(report.read_text())["proposal"]["minimal"] == ["CAP_CHOWN"]
    assert not (root / "f").exists()


def _proven_services(folder: Path) -> tuple[dict[str, Any], str]:
    """The reports of the project in this folder, and what was said."""
    words = ("docker", "compose", "up")
    seen = record(folder / "r", *words, options=("--prove",), cwd=folder, timeout=170)
    found = {path.stem: json.loads(path.read_text()) for path in (folder / "r").iterdir()}
    return found, seen.stderr


def test_a_project_with_the_hosts_network_is_tried_once_at_a_time(tmp_path: Path) -> None:
    """Each trial starts the whole project, also those of the service without the port."""
    serve = "nc -ll -p 18979 -e cat"
    side = {"command": ["sh", "-c", "chown 5 /data/file && hostname x && touch /up && sleep 1000"]}
    side["healthcheck"] = {"test": ["CMD", "test", "-e", "/up"], "interval": "1s"}
    web = {"command": ["sh", "-c", f"{serve} & wait"], "network_mode": "host"}
    ask = ["CMD", "sh", "-c", "nc localhost 18979 </dev/null"]
    web["healthcheck"] = {"test": ask, "interval": "1s"}
    _project(tmp_path, {"web": web, "side": side})
    found, said = _proven_services(tmp_path)
    minimal = {name: report["proposal"]["minimal"] for name, report in found.items()}
    assert minimal == {"web": [], "side": ["CAP_CHOWN", "CAP_SYS_ADMIN"]}, said


@pytest.mark.usefixtures("docker_image")
def test_a_program_that_cannot_be_executed_ends_its_trial_at_once(tmp_path: Path) -> None:
    """The engine reports no end of a container whose program it cannot execute, and the other
    service goes on."""
    own = {"image": IMAGE, "entrypoint": ["/files/chown", "5", "/bin/busybox"]}
    _project(tmp_path, {"own": own, "side": {"command": ["sleep", "1000"]}})
    found, said = _proven_services(tmp_path)
    assert found["own"]["proposal"]["minimal"] == ["CAP_CHOWN"], said
    failed = [one for one in found["own"]["proof"]["trials"] if not one["passed"]]
    assert max(one["seconds"] for one in failed) < 10, failed
