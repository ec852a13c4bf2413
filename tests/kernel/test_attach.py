"""What runs already is watched, and is never stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from capadvise.kernel import user_namespaces
from capadvise.kernel.process_tree import descendants
from tests.support.attaching import attach, start
from tests.support.runs import CAPADVISE, Result
from tests.support.trace_buffers import instances
from tests.support.wait import until

THREAD = """
import os, sys, threading, time
def work():
    while True:
        os.chown(sys.argv[1], 5, 5)
        time.sleep(0.1)
threading.Thread(target=work).start()
"""
NGINX = """
user nobody nogroup;
pid {0}/pid;
error_log {0}/log;
events {{}}
http {{ access_log off; server {{ listen 127.0.0.1:80; location / {{ return 200; }} }} }}
"""


@contextmanager
def running(*argv: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A target that lives on after the recording, or the test fails."""
    process = subprocess.Popen(argv, **options)
    try:
        yield process
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def shell(script: str, folder: Path, *before: str) -> Any:
    """A shell that does something ten times a second, and notes it."""
    return running(*before, "sh", "-c", f"while sleep 0.1; do {script}; echo >>{folder}/done; done")


def done_twice(folder: Path) -> None:
    """Wait until that shell has done it from beginning to end."""
    before = len((folder / "done").read_text())
    until(lambda: len((folder / "done").read_text()) >= before + 2)


def asked(result: Result) -> set[tuple[str, str, bool, str]]:
    """(capability, call, granted, namespace) of all checks but those of memory accounting."""
    (recording,) = result.report["recordings"]
    return {
        (check["cap"].removeprefix("CAP_"), check["syscall"], check["granted"], check["ns"])
        for check in recording["checks"]
        if not any("enough_memory" in frame for frame in check["site"])
    }


def test_every_thread_is_watched(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with running(sys.executable, "-c", THREAD, str(file)) as target:
        until(lambda: file.stat().st_uid == 5)

        def once_more() -> None:
            before = file.stat().st_ctime_ns
            until(lambda: file.stat().st_ctime_ns > before)

        result = attach(target.pid, once_more, tmp_path / "report.json")
    assert result.code == 0
    assert result.recommended == {"CHOWN"}
    (recording,) = result.report["recordings"]
    assert (recording["attached"], recording["exit_status"]) == (True, None)
    assert recording["checks"][0]["program"].startswith("python")
    assert (result.report["target"]["kind"], result.report["target"]["user"]) == ("process", "0:0")
    assert "its start was not observed" in result.stderr


def workers_of_nobody(master: int) -> set[int]:
    """Those that have given up root."""
    ids = {pid: user_namespaces.ids(pid) for pid in descendants(master)}
    return {pid for pid, found in ids.items() if found and 0 not in found[0]}


def test_a_reload_shows_what_workers_ask(tmp_path: Path) -> None:
    nginx = shutil.which("nginx", path=f"/usr/sbin:{os.environ['PATH']}")
    assert nginx
    tmp_path.chmod(0o755)
    (tmp_path / "conf").write_text(NGINX.format(tmp_path))
    script = f"ip link set lo up; exec {nginx} -c {tmp_path}/conf -g 'daemon off;'"
    with running("unshare", "--net", "sh", "-c", script) as master:
        until(lambda: workers_of_nobody(master.pid))

        def reload() -> None:
            before = workers_of_nobody(master.pid)
            os.kill(master.pid, signal.SIGHUP)
            until(lambda: workers_of_nobody(master.pid) - before)

        result = attach(master.pid, reload, tmp_path / "report.json")
    assert result.report["target"]["name"] == "nginx"
    assert {"SETUID", "SETGID"} <= result.recommended <= {"SETUID", "SETGID", "CHOWN", "KILL"}


def test_its_own_user_namespace_is_the_one_that_counts(tmp_path: Path) -> None:
    """Mounting is its own affair there, the clock is the host's whatever it holds."""
    script = "mount -t tmpfs x /mnt && umount /mnt; date -s @1 2>&-; unshare -Um mount -t tmpfs x /"
    with shell(script, tmp_path, "unshare", "-Urm") as target:
        until((tmp_path / "done").exists)
        result = attach(target.pid, lambda: done_twice(tmp_path), tmp_path / "report.json")
    assert result.recommended == {"SYS_ADMIN"}
    seen = asked(result)
    assert ("SYS_TIME", "clock_settime", False, "host") in seen
    assert any(ns == "target" and granted for _, _, granted, ns in seen)
    assert any(ns == "child" for _, _, _, ns in seen)
    assert result.need("SYS_TIME")["verdict"] == "denied"  # type: ignore[index]
    assert "clock_settime failed and is checked against the host's user namespace" in " ".join(
        result.stderr.split()
    )


def test_what_it_lacks_and_is_refused_is_proposed(tmp_path: Path) -> None:
    lacking = ("setpriv", "--bounding-set=-chown")
    with shell("chown 5 /dev/shm 2>&-", tmp_path, *lacking) as target:
        until((tmp_path / "done").exists)
        result = attach(target.pid, lambda: done_twice(tmp_path), tmp_path / "report.json")
    assert result.recommended == {"CHOWN"}
    assert ("CHOWN", "fchownat", False, "target") in asked(result)


def test_the_end_of_the_target_is_the_end(tmp_path: Path) -> None:
    script = f"until [ -e {tmp_path}/go ]; do sleep 0.1; done; chown 5 {tmp_path}; sleep 0.5"
    target = subprocess.Popen(["sh", "-c", script])

    def to_its_end() -> None:
        (tmp_path / "go").touch()
        target.wait()

    result = attach(target.pid, to_its_end, tmp_path / "report.json", stop=False)
    assert result.recommended == {"CHOWN"}


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--for", "0.5"), 0),
        (("--check", "kill -0 $PIDS"), 0),
        (("--check", "false", "--for", "1"), 1),
        (("--json", "--for", "0.5"), 0),
    ],
)
def test_a_recording_ends_and_the_target_goes_on(
    options: tuple[str, ...], code: int, tmp_path: Path
) -> None:
    with running("sleep", "1000") as target:
        result = attach(target.pid, lambda: None, tmp_path / "r.json", *options, stop=False)
        assert result.code == code
        if "--json" in options:
            assert json.loads(result.stdout) == result.report


def test_what_it_has_seen_outlives_it(tmp_path: Path) -> None:
    """A recording of a week is killed in the end: its report is there, and says so."""
    report, given = tmp_path / "report.json", tmp_path / "given"
    given.mkdir()
    with shell(f"chown 5 {given}", tmp_path) as target:
        process = start(target.pid, "-o", str(report), "--for", "7d")
        until(report.exists)
        until(lambda: json.loads(report.read_text())["proposal"]["recommended"] == ["CAP_CHOWN"])
        process.kill()
        process.communicate(timeout=60)
    kept = json.loads(report.read_text())
    assert kept["recordings"][0]["interrupted"] is True


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_whatever_ends_it_nothing_of_it_stays(number: int, tmp_path: Path) -> None:
    with running("sleep", "1000") as target:
        process = start(target.pid, "-o", str(tmp_path / "report.json"))
        assert len(instances(process.pid)) == 2
        process.send_signal(number)
        process.communicate(timeout=60)
        until(lambda: not instances(process.pid))
        assert (tmp_path / "report.json").exists() is (number != signal.SIGKILL)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("4194305", "there is no process 4194305"),
        ("2", "process 2 is a kernel thread"),
        ("no-such-container", "no container no-such-container: "),
        ("\x1b[31m", "no container \\x1b[31m: "),
    ],
)
def test_what_is_not_there_is_said_in_one_line(what: str, said: str) -> None:
    done = subprocess.run([CAPADVISE, "attach", what], capture_output=True, text=True)
    assert done.returncode == 2
    error, *hints = done.stderr.splitlines()
    assert error.startswith(f"capadvise: error: {said}")
    assert all(line.startswith("capadvise: hint: ") for line in hints)
