"""Lifecycles: what a second start, a reload and a stop need; and trials that change nothing."""

from __future__ import annotations

import json
import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import CAPADVISE, Run

PROGRAMS = Path(__file__).parents[1] / "programs"


def prove(tmp_path: Path, text: str, *, code: int = 0) -> dict[str, Any]:
    path = tmp_path / "workload.yaml"
    path.write_text(f"name: w\nkind: daemon\n{text}")
    words = [CAPADVISE, "prove", "--json", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def phases(report: dict[str, Any]) -> dict[str, list[str]]:
    minimal = report["proposal"]["minimal"]
    return {
        n["cap"].removeprefix("CAP_"): n["phases"] for n in report["needs"] if n["cap"] in minimal
    }


def failed_at(report: dict[str, Any]) -> dict[str, str]:
    """Each member of the minimal set, and what failed without it."""
    minimal = frozenset(report["proposal"]["minimal"])
    tried = {frozenset(trial["caps"]): trial["failed_at"] for trial in report["proof"]["trials"]}
    return {cap.removeprefix("CAP_"): tried[minimal - {cap}] for cap in minimal}


def lost_without(report: dict[str, Any], cap: str) -> str:
    return next(str(n["lost_without"]) for n in report["needs"] if n["cap"] == f"CAP_{cap}")


def test_what_is_done_at_the_first_start_alone_is_needed_and_said_so(tmp_path: Path) -> None:
    script = "[ -e f ] || { touch f && chown nobody f; } && touch up && exec sleep 900"
    report = prove(tmp_path, f"command: '{script}'\ncheck: test -e up\nsetup: ''\n")
    assert phases(report) == {"CHOWN": ["first-start"]}
    assert failed_at(report) == {"CHOWN": "start"}


FOWNER = """\
command: |
  set -e
  rm -f up
  if [ -e f ]; then chmod 600 f; else touch f; chown nobody f; fi
  touch up
  exec sleep 900
check: test -e up
"""


def test_what_the_second_start_needs_is_in_the_minimal_set(tmp_path: Path) -> None:
    report = prove(tmp_path, FOWNER)
    assert phases(report) == {"CHOWN": ["first-start"], "FOWNER": ["later-start"]}
    assert failed_at(report) == {"CHOWN": "start", "FOWNER": "restart"}
    said = "the workload fails at the second start"
    assert lost_without(report, "FOWNER") == said


STOP = """\
import os, signal, sys
def stop(*_):
    os.kill(child, signal.SIGTERM)
    os.wait()
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)  # before the child can say that it is up
child = os.fork()
if child == 0:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.chown("child", 65534, 65534)
    os.setuid(65534)
    open("child/up", "w")
    signal.pause()
while True:
    signal.pause()
"""


def test_what_the_stop_needs_is_in_the_minimal_set(tmp_path: Path) -> None:
    (tmp_path / "stop.py").write_text(STOP)
    text = f"command: [python3, {tmp_path}/stop.py]\nsetup: mkdir child\ncheck: test -e child/up\n"
    report = prove(tmp_path, text)
    assert set(phases(report)) == {"KILL", "SETUID", "CHOWN"}
    assert failed_at(report)["KILL"] == "stop"
    assert lost_without(report, "KILL") == "the workload fails when it is stopped"


def test_what_outlasts_the_stop_without_it_is_in_the_minimal_set(tmp_path: Path) -> None:
    """Its stop passes without it: the main process ends in time, with 0."""
    hasty = STOP.replace("    os.wait()\n", "").replace("os.kill(child, signal.SIGTERM)", HASTILY)
    (tmp_path / "stop.py").write_text(f"from contextlib import suppress\n{hasty}")
    text = f"command: [python3, {tmp_path}/stop.py]\nsetup: mkdir child\ncheck: test -e child/up\n"
    report = prove(tmp_path, text)
    assert set(phases(report)) == {"KILL", "SETUID", "CHOWN"}
    assert failed_at(report)["KILL"] == "stop"
    stops = [one for one in report["proof"]["trials"] if one["failed_at"] == "stop"]
    said = "it stopped, but left running: python3"
    assert stops
    assert all(one["differences"][0] == said for one in stops)


HASTILY = """with suppress(PermissionError):
        os.kill(child, signal.SIGTERM)"""

RELOAD = """\
import os, signal
def load(*_):
    try:
        open("secret").read()
        open("loaded", "w")
    finally:
        open("tried", "w")
signal.signal(signal.SIGHUP, load)
open("up", "w")
while True:
    signal.pause()
"""


@pytest.mark.parametrize("reload", ["reload", "{reload: HUP}", "{reload: 'kill -HUP ${PIDS%%,*}'}"])
def test_what_a_reload_needs_is_in_the_minimal_set(tmp_path: Path, reload: str) -> None:
    (tmp_path / "reload.py").write_text(RELOAD)
    text = f"""\
command: [python3, {tmp_path}/reload.py]
setup: touch secret; chmod 600 secret; chown nobody secret
check: test -e up
steps:
  [start, check, {reload}, exec: 'until test -e tried; do sleep 0.05; done; test -e loaded', stop]
"""
    report = prove(tmp_path, text)
    assert phases(report) == {"DAC_OVERRIDE": ["reload"]}
    (need,) = [need for need in report["needs"] if need["cap"] == "CAP_DAC_OVERRIDE"]
    assert need["alternatives"] == [["CAP_DAC_READ_SEARCH"]]
    assert report["workload"]["steps"][2]["do"] == "reload"


def test_a_second_start_that_never_passes_is_left_out_and_said_so(tmp_path: Path) -> None:
    script = "mkdir once && chown nobody once && exec sleep 900"
    report = prove(tmp_path, f"command: '{script}'\ncheck: test $(stat -c %U once) = nobody\n")
    assert report["proposal"]["minimal"] == ["CAP_CHOWN"]
    (caution,) = report["proof"]["cautions"]
    assert caution.startswith("a second start fails even with every capability")


@pytest.fixture
def large(tmp_path: Path) -> Path:
    folder = tmp_path / "w"
    folder.mkdir()
    subprocess.run(["fallocate", "-l", "400M", folder / "large"], check=True)
    (folder / "counter").write_text("0\n")
    (folder / "f").touch()
    return folder


def test_a_large_folder_is_not_written_to_by_trials(run: Run, large: Path) -> None:
    script = "n=$(cat counter); echo $((n+1)) > counter; chown 1 f"
    result = run("sh", "-c", script, options=("--prove",))
    assert result.report["proposal"]["minimal"] == ["CAP_CHOWN"], result.stderr
    assert (large / "counter").read_text() == "1\n"


@pytest.fixture
def two_gigabytes_of_logs() -> Iterator[None]:
    path = Path("/var/log/capadvise-test-large")
    try:
        subprocess.run(["fallocate", "-l", "2G", path], check=True)
        yield
    finally:
        path.unlink(missing_ok=True)


@pytest.mark.usefixtures("two_gigabytes_of_logs")
def test_large_logs_are_not_copied_into_memory(tmp_path: Path) -> None:
    def shared_memory() -> int:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("Shmem:")))

    before = shared_memory()
    seen = tmp_path / "shmem"
    ours = f"/proc/{os.getpid()}/root{seen}"  # no layer of a trial covers it
    path = tmp_path / "w.yaml"
    path.write_text(
        "name: w\nsetup: 'touch f; echo x > /var/log/written; "
        f"grep Shmem: /proc/meminfo >> {ours}'\n"
        "command: chown nobody f\n"
    )
    done = subprocess.run([CAPADVISE, "prove", "-o", tmp_path / "r.json", path], timeout=120)
    assert done.returncode == 0
    most = max(int(line.split()[1]) for line in seen.read_text().splitlines())
    assert most - before < 1_500_000  # of 2,000,000; other tests may run beside this one
    assert not Path("/var/log/written").exists()


def test_a_folder_begins_as_it_was_before_the_recording(run: Run, tmp_path: Path) -> None:
    """And what an overlay asks for itself is nobody's need: reading another's file takes one."""
    work = tmp_path / "w"
    work.mkdir()
    secret = work / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    os.chown(secret, 65534, 65534)
    script = "cat secret && ! [ -e once ] && touch once && chown nobody once"
    result = run("sh", "-c", script, options=("--prove",))
    assert result.report["proposal"]["minimal"] == ["CAP_CHOWN", "CAP_DAC_OVERRIDE"], result.stderr


def test_trials_in_place_write_to_the_real_files_and_say_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "f").touch()
    run("sh", "-c", "echo x >> count; chown nobody f")
    words = [CAPADVISE, "prove", "--in-place", tmp_path / "report.json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"the trials write to the real files: {tmp_path / 'w'}" in done.stderr
    assert (tmp_path / "w" / "count").read_text().count("x") > 1


@pytest.mark.parametrize("user", [(), ("--user", "nobody")], ids=["root", "nobody"])
def test_a_group_of_the_file_is_tried_in_the_place_of_a_capability(
    run: Run, tmp_path: Path, user: tuple[str, ...]
) -> None:
    folder = tmp_path / "w"
    folder.mkdir()
    for one in (folder, *folder.parents[:-1]):
        one.chmod(one.stat().st_mode | 0o5)
    for name, group in (("of-adm", 4), ("of-shadow", 42)):
        (folder / name).touch()
        os.chown(folder / name, 5, group)
        (folder / name).chmod(0o640)
    result = run("cat", "of-adm", "of-shadow", options=("--prove", *user))
    (need,) = [one for one in result.report["needs"] if one["cap"] == "CAP_DAC_OVERRIDE"]
    assert {"instead": "group=adm,shadow", "passed": True} in need["tried"], result.stderr


def test_what_is_started_in_the_root_folder_is_proven_there(tmp_path: Path) -> None:
    """The folders of the root are covered, and it is read-only itself."""
    made, starts = Path("/srv/capadvise-test-made"), Path("/srv/capadvise-test-starts")
    report = tmp_path / "r.json"
    script = f"echo >>{starts}; rm -f {made} && touch {made} && chown nobody {made}"
    words = [CAPADVISE, "run", "--prove", "-q", "-o", report, "--", "sh", "-c", script]
    try:
        done = subprocess.run(words, cwd="/", capture_output=True, text=True, timeout=120)
        seen = starts.read_text()
    finally:
        for path in (made, starts):
            path.unlink(missing_ok=True)
    content = json.loads(report.read_text())
    assert content["proposal"]["minimal"] == ["CAP_CHOWN"], done.stderr
    assert len(content["proof"]["trials"]) > 1
    assert seen == "\n", "a trial wrote to the real file"


def test_a_burst_after_a_long_silence_is_seen_whole(run: Run) -> None:
    """Where nothing happens, the recorder reads more seldom, and wakes with the first event."""
    loop = shlex.join((sys.executable, str(PROGRAMS / "mmap_loop.py"), "100000", "f"))
    done = run("sh", "-c", f"touch f; sleep 4; {loop}; chown 0 f")
    (recording,) = done.report["recordings"]
    assert done.code == 0, done.stderr
    assert recording["lost"] == {"signal": 0, "sys_admin": 0, "lookups": 0, "gaps": []}
    chown = next(c for c in recording["checks"] if c["cap"] == "CAP_CHOWN")
    assert chown["first"] > 4
    probes = sum(c["count"] for c in recording["checks"] if c["cap"] == "CAP_SYS_ADMIN")
    assert probes >= 100_000


def test_nobody_turns_in_circles_while_a_target_sleeps(run: Run) -> None:
    """The supervisor, and the guardian that it waits for, in seconds of processor time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run("sleep", "5").code == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2.5


DAEMONS = {
    "heeds SIGTERM": "trap 'exit 0' TERM; sleep 600 & wait",
    "has left its parent": "setsid sleep 600 & exit 0",
}


@pytest.mark.parametrize("script", DAEMONS.values(), ids=DAEMONS.keys())
def test_what_was_stopped_when_its_time_was_up_is_proven_by_a_check(
    run: Run, tmp_path: Path, script: str
) -> None:
    """Its trials waited for its end, and it was said to fail with every capability."""
    result = run("sh", "-c", script, options=("--prove", "--for", "1"))
    assert "the recorded run was stopped, without a health check" in result.stderr
    assert (result.code, result.report["proof"]) == (1, None)
    assert "\nNext: capadvise prove --check " in result.stderr
    words = [CAPADVISE, "prove", str(tmp_path / "report.json"), "--check", "sleep 0.2", "--json"]
    proven = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    assert proven["proposal"]["minimal"] == []
