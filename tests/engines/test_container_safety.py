"""Nothing with every capability is left behind, however capadvise ends; and containers that run
side by side are never mixed up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from capadvise.kernel import procfs
from capadvise.observe.ftrace import tracefs
from tests.support.containers import (
    BOX,
    CLIENTS,
    ENVIRONMENT,
    MARK,
    containers,
    owner_inside,
    record,
    trials_of,
)
from tests.support.late_docker import late_events
from tests.support.runs import CAPADVISE
from tests.support.terminal import Terminal
from tests.support.wait import PATIENCE, until

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("boxes")]


def _started(name: str, *words: str, **popen: object) -> subprocess.Popen[bytes]:
    """capadvise, once the container of that name runs."""
    engine = "podman" if "podman" in words else "docker"
    process = subprocess.Popen(
        [CAPADVISE, "run", *words], env=ENVIRONMENT, start_new_session=True, **popen
    )
    until(lambda: name in _running(engine))
    return process


def _begun(name: str) -> None:
    """Wait until a container of docker's has given its file away; its traps are set before."""
    until(lambda: owner_inside("docker", name, "/data/file") == 5)


def _running(engine: str) -> list[str]:
    words = ["ps", f"--filter=name={MARK}", "--format={{.Names}}"]
    done = subprocess.run(
        [*CLIENTS[engine], *words], capture_output=True, text=True, env=ENVIRONMENT
    )
    return done.stdout.split()


@pytest.mark.parametrize("engine", CLIENTS)
@pytest.mark.parametrize("detached", [(), ("-d",)], ids=["in front", "detached"])
def test_the_container_dies_with_a_killed_supervisor(
    engine: str, detached: tuple[str, ...]
) -> None:
    name = f"{MARK}-killed"
    start = ("run", *detached, "--name", name, "--network=none", BOX, "sleep", "1000")
    process = _started(name, "-q", "--", *CLIENTS[engine], *start)
    process.kill()
    process.wait()
    until(lambda: not containers(engine))


def test_the_container_dies_with_a_killed_guardian() -> None:
    name = f"{MARK}-orphan"
    start = ("docker", "run", "--name", name, "--network=none", BOX, "sleep", "1000")
    process = _started(name, "-q", "--", *start)
    os.kill(_child(process.pid, "capadvise guardian"), signal.SIGKILL)
    process.wait(60)
    assert not containers("docker")


def _child(parent: int, word: str) -> int:
    """The child that has this in its command line, as soon as there is one."""
    words = ["pgrep", "-P", str(parent), "-f", word]
    found = until(
        lambda: subprocess.run(words, capture_output=True).stdout.split(), shows=lambda: words
    )
    return int(found[0])  # never 0: that is sent a signal as our whole group


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.1])
def test_a_container_that_is_just_being_made_does_not_stay(moment: float) -> None:
    """The client dies with the guardian, and the engine makes what it was asked for."""
    start = ("docker", "run", "--name", f"{MARK}-unborn", "--network=none", BOX, "sleep", "1000")
    process = subprocess.Popen([CAPADVISE, "run", "-q", "--", *start], env=ENVIRONMENT)
    guardian = _child(process.pid, "capadvise guardian")
    _child(guardian, "^docker run")
    time.sleep(moment)
    os.kill(guardian, signal.SIGKILL)
    process.wait(60)
    time.sleep(0.5)
    assert not containers("docker")


def test_what_a_killed_pair_left_is_stopped_at_the_next_start(tmp_path: Path) -> None:
    """One that was left in order, and that its user has started again, is not touched."""
    start = ("docker", "run", "-d", "--label", "capadvise.recording=4194304-1", "--network=none")
    sleep = (BOX, "sleep", "1000")
    try:
        subprocess.run([*start, "--name", f"{MARK}-again", *sleep], check=True)
        subprocess.run(["docker", "restart", "-t", "0", f"{MARK}-again"], check=True)
        # The lost one comes last: a capadvise of another test would stop it, too.
        subprocess.run([*start, "--name", f"{MARK}-lost", *sleep], check=True)
        words = ["docker", "run", "--rm", "--network=none", BOX, "true"]
        seen = record(tmp_path / "report.json", *words)
        assert f"{MARK}-lost: stopped" in seen.stderr
        assert _running("docker") == [f"{MARK}-again"]
    finally:
        subprocess.run(["docker", "rm", "-f", f"{MARK}-lost", f"{MARK}-again"])


def test_sigterm_ends_the_container_and_the_report_is_written(tmp_path: Path) -> None:
    name, report = f"{MARK}-term", tmp_path / "report.json"
    script = "trap 'exit 5' TERM; chown 5 /data/file; sleep 1000 & wait"
    start = ("docker", "run", "--rm", "--name", name, "--network=none", BOX, "sh", "-c", script)
    process = _started(name, "-q", "-o", str(report), "--", *start)
    _begun(name)
    process.terminate()
    assert process.wait(60) == 5
    content = json.loads(report.read_text())
    assert content["proposal"]["cap_add"] == ["CHOWN"]
    assert content["recordings"][0]["interrupted"]
    assert not containers("docker")


def test_ctrl_c_reaches_the_container_as_with_docker_run_it(tmp_path: Path) -> None:
    """With a terminal of its own the container's shell gets the character, not the client."""
    name, report = f"{MARK}-tty", tmp_path / "report.json"
    script = "trap 'exit 7' INT; chown 5 /data/file; while :; do sleep 0.2; done"
    start = ("docker", "run", "--rm", "-it", "--name", name, "--network=none", BOX)
    command = [CAPADVISE, "run", "-q", "-o", str(report), "--", *start, "sh", "-c", script]
    terminal = Terminal(command, tmp_path, {**ENVIRONMENT, "TERM": "xterm"})
    _begun(name)
    terminal.type("\x03")
    assert terminal.end() == 7
    assert json.loads(report.read_text())["proposal"]["cap_add"] == ["CHOWN"]


PATIENT = """
import sys
from dataclasses import replace
from capadvise.cli import main
from capadvise.targets.containers import record
run, patience = record._run, float(sys.argv.pop(1))
def patient(start, command, *others, **more):
    return run(start, replace(command, patience=patience), *others, **more)
record._run = patient
sys.exit(main(sys.argv[1:]))
"""
"""Lets the engine wait for so many seconds before it kills what it stops."""


@pytest.mark.parametrize(
    ("times", "patience"),
    [(1, "1"), (2, "600")],
    ids=["once: it is stopped", "twice: it is killed"],
)
def test_ctrl_c_ends_a_container_that_is_deaf(times: int, patience: str, tmp_path: Path) -> None:
    """The first process of a container ignores every signal that it has no handler for; this one
    ignores SIGTERM, too."""
    name, report = f"{MARK}-deaf", tmp_path / "report.json"
    script = "trap '' TERM INT; chown 5 /data/file; while :; do sleep 0.2; done"
    start = ("docker", "run", "--name", name, "--network=none", BOX, "sh", "-c", script)
    words = [sys.executable, "-c", PATIENT, patience, "run", "-q", "-o", str(report), "--", *start]
    process = subprocess.Popen(words, env=ENVIRONMENT, start_new_session=True)
    _begun(name)
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)
        until(lambda: not _is_pending(process.pid, signal.SIGINT))
    process.wait(PATIENCE)
    assert json.loads(report.read_text())["proposal"]["cap_add"] == ["CHOWN"]
    assert not containers("docker")


def _is_pending(pid: int, number: int) -> bool:
    """Whether a process has yet to take a signal: one of the same kind would be lost."""
    status = procfs.parse_status(Path(f"/proc/{pid}/status").read_text())
    return bool(int(status["ShdPnd"], 16) >> (number - 1) & 1)


def test_unhealthy_ends_the_wait_and_says_why(tmp_path: Path) -> None:
    check = "--health-cmd=echo no table; false"
    often = ("--health-interval=0.5s", "--health-retries=2")
    start = ("docker", "run", "--rm", check, *often, "--network=none", BOX)
    script = "echo cannot open the table >&2; exec sleep 1000"
    seen = record(tmp_path / "r.json", *start, "sh", "-c", script, options=("--prove",))
    assert "is unhealthy: no table" in seen.stderr
    assert seen.code == 1


def test_a_trial_ends_when_its_engine_finds_it_unhealthy(tmp_path: Path) -> None:
    """It always does something new, so that nothing else tells that it cannot pass any more."""
    health = ("--health-cmd=test -e /tmp/up", "--health-interval=0.5s", "--health-retries=2")
    start = ("docker", "run", "--rm", *health, "--stop-signal=KILL", "--network=none", BOX)
    new = "cp /bin/busybox /tmp/n$n && (exec /tmp/n$n sleep 0.2)"
    script = f"chown 5 /data/file && touch /tmp/up; while :; do n=$((n + 1)); {new}; done"
    seen = record(tmp_path / "r.json", *start, "sh", "-c", script, options=("--prove",))
    assert seen.minimal == {"CHOWN"}, seen.stderr
    failed = [trial for trial in seen.report["proof"]["trials"] if not trial["passed"]]
    assert [trial["differences"][0].partition(",")[0] for trial in failed] == [
        "its engine found it unhealthy"
    ] * len(failed)


def test_ctrl_c_ends_a_detached_container(tmp_path: Path) -> None:
    name = f"{MARK}-int"
    start = ("docker", "run", "--rm", "-d", "--stop-signal=KILL", "--name", name)
    process = _started(name, "-q", "--", *start, "--network=none", BOX, "sleep", "1000")
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    process.wait(60)
    assert not containers("docker")


def test_ctrl_c_in_the_proof_of_one_service_ends_all_proofs(tmp_path: Path) -> None:
    box = {"image": BOX, "network_mode": "none", "command": ["chown", "5", "/data/file"]}
    project = {"name": f"{MARK}-proofs", "services": {"one": box, "two": box}}
    (tmp_path / "compose.yaml").write_text(json.dumps(project))
    words = [CAPADVISE, "run", "--prove", "-q", "-o", "r", "--", "docker", "compose", "up"]
    process = subprocess.Popen(words, cwd=tmp_path, env=ENVIRONMENT, start_new_session=True)
    until(lambda: trials_of(BOX), 60)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    proofs = [json.loads(path.read_text())["proof"] for path in (tmp_path / "r").iterdir()]
    assert len(proofs) == 2
    assert not any(proof and proof["complete"] for proof in proofs)
    assert not trials_of(BOX)


@pytest.mark.long
def test_twenty_containers_two_at_a_time_are_never_mixed_up_and_leave_nothing(
    tmp_path: Path,
) -> None:
    """Every second is of another capadvise; a third container runs beside them, of nobody."""
    beside = ["docker", "run", "-d", "--rm", "--name", f"{MARK}-beside", "--network=none", BOX]
    noise = "while :; do chown 7 /data/file; mknod /n c 1 3; rm /n; done"
    jobs = {
        "CHOWN": ("chown", "5", "/data/file"),
        "SYS_ADMIN": ("hostname", "x"),
    }
    subprocess.run([*beside, "sh", "-c", noise], check=True, capture_output=True)

    def one(number: int, cap: str) -> set[str]:
        words = ("docker", "run", "--rm", "--network=none", BOX, *jobs[cap])
        return record(tmp_path / f"{cap}{number}.json", *words, options=("-q",)).recommended

    try:
        with ThreadPoolExecutor(2) as pool:
            runs = [(cap, pool.submit(one, number, cap)) for number in range(10) for cap in jobs]
            assert [(cap, run.result()) for cap, run in runs] == [(cap, {cap}) for cap, _ in runs]
    finally:
        subprocess.run(["docker", "rm", "-f", f"{MARK}-beside"], capture_output=True)
    assert not containers("docker")
    until(lambda: not procfs.abandoned(tracefs.find() / "instances", tracefs.PREFIX))
    assert not _ours()


def test_a_short_container_is_seen_though_the_engine_tells_of_it_late(tmp_path: Path) -> None:
    """It is gone, and so is its client, before docker's events are read."""
    start = ("docker", "run", "--rm", "--network=none", BOX, "chown", "5", "/data/file")
    with late_events(tmp_path / "late.sock", 3) as host:
        env = {**ENVIRONMENT, "DOCKER_HOST": host}
        seen = record(tmp_path / "r.json", *start, options=("-q",), env=env)
    assert seen.recommended == {"CHOWN"}, seen.stderr


@pytest.mark.parametrize("engine", CLIENTS)
def test_a_container_is_known_though_it_is_gone_before_anything_was_read(
    tmp_path: Path, engine: str
) -> None:
    """As on a busy machine: capadvise stands still from before its start until after its end."""
    report = tmp_path / "r.json"
    start = (*CLIENTS[engine], "run", "--rm", "--network=none", BOX, "chown", "5", "/data/file")
    words = [CAPADVISE, "run", "-q", "-o", str(report), "--", *start]
    process = subprocess.Popen(words, env=ENVIRONMENT, start_new_session=True)
    client = _child(_child(process.pid, "capadvise guardian"), f"^{engine} ")
    process.send_signal(signal.SIGSTOP)
    until(lambda: procfs.state(client) in ("", "Z"))
    time.sleep(0.5)  # the shim ends after its container
    process.send_signal(signal.SIGCONT)
    assert process.wait(60) == 0
    assert json.loads(report.read_bytes())["proposal"]["cap_add"] == ["CHOWN"]


def _ours() -> list[str]:
    """Processes that our runs have left."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    return [line for line in listed.splitlines() if BOX in line and " ps " not in line]
