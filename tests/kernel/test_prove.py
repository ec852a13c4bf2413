"""Trials on the real kernel: both sets are right, and the host is as it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from capadvise.kernel import procfs
from tests.support.processes import leftovers
from tests.support.runs import CAPADVISE, Run
from tests.support.wait import PATIENCE, until


def prove(
    path: Path, *options: str, code: int = 0, before: Sequence[str] = ()
) -> tuple[dict[str, Any], str]:
    done = subprocess.run(
        [*before, CAPADVISE, "prove", "--json", *options, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    return (json.loads(done.stdout) if done.stdout else {}), done.stderr


def workload(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "workload.yaml"
    path.write_text(text)
    return path


ROWS = [
    ("command: [unshare, -Ur, 'true']", "SETFCAP", "SETFCAP"),
    ("command: [chown, nobody, f]\nsetup: touch f", "CHOWN", "CHOWN"),
    ("command: [nice, -n, '-5', 'true']", "", "SYS_NICE"),
    (
        "command: [install, -o, nobody, -g, nogroup, -m, '2755', f, g]\nsetup: echo x > f\n"
        'check: test "$(stat -c %U g)" = nobody',
        "CHOWN FOWNER",
        "CHOWN FOWNER FSETID",
    ),
    ("command: [chmod, g+s, .]\nsetup: chgrp nogroup .", "", "FSETID"),
    (
        "kind: daemon\ncommand: [python3, -m, http.server, '80']\n"
        "check: curl -fs http://127.0.0.1/",
        "NET_BIND_SERVICE",
        "NET_BIND_SERVICE",
    ),
    (  # a set-uid program of a user whom the set-up makes, and who writes to the folder
        "user: bench\nsetup: useradd bench; install -m 4755 /bin/chown own; touch f\n"
        "command: ./own nobody f; id -u > of\n"
        'check: test "$(stat -c %U f)" = nobody && test "$(cat of)" = "$(id -u bench)"',
        "CHOWN",
        "CHOWN",
    ),
    (
        "user: '4242'\nkind: daemon\ncommand: [python3, -m, http.server, '80']\n"
        "check: curl -fs http://127.0.0.1/ && test $(ps -o uid= -p $PIDS) = 4242",
        "NET_BIND_SERVICE",
        "NET_BIND_SERVICE",
    ),
]


@pytest.mark.parametrize(("text", "minimal", "recommended"), ROWS, ids=lambda text: text[:40])
def test_minimal_and_recommended(tmp_path: Path, text: str, minimal: str, recommended: str) -> None:
    report, _ = prove(workload(tmp_path, f"name: w\n{text}\n"))

    def named(key: str) -> set[str]:
        return {name.removeprefix("CAP_") for name in report["proposal"][key]}

    assert named("minimal") == set(minimal.split())
    assert named("recommended") == set(recommended.split())
    assert report["proof"]["recommended"]["sound"]
    for need in report["needs"]:
        if need["verdict"] in ("required", "optional"):
            assert need["proof"] == "trial"


def test_what_is_lost_names_the_scratch_folder_as_the_workload_does(tmp_path: Path) -> None:
    """It is another one in each trial: a second proof would tell something else."""
    text = "name: x\ncommand: chown nobody $W/f || echo lost\nsetup: touch f\ncheck: 'true'"
    report, _ = prove(workload(tmp_path, text))
    assert [need["lost_without"] for need in report["needs"] if need["lost_without"]] == [
        "new message: \"chown: changing ownership of '$W/f': Operation not permitted\"; "
        'f is 0:0 0644 instead of 65534:0 0644; it prints "lost"'
    ]


def test_a_workload_that_fails_with_everything_is_shown_with_its_output(tmp_path: Path) -> None:
    text = "name: w\ncommand: echo the reason >&2; exit 3\n"
    report, said = prove(workload(tmp_path, text), code=1)
    assert "fails even with every capability: exited with 3 instead of 0" in said
    assert "the reason" in said
    assert len(report["proof"]["trials"]) == 1
    assert report["proposal"]["minimal"] is None


def test_a_check_that_never_passes_ends_at_its_timeout(tmp_path: Path) -> None:
    text = "name: w\nkind: daemon\ncommand: [sleep, '600']\ncheck: 'false'\ntimeout: 1\n"
    _, said = prove(workload(tmp_path, text), code=1)
    assert "timed out" in said


def test_a_setup_that_fails_is_no_verdict(tmp_path: Path) -> None:
    text = "name: w\nsetup: echo broken >&2; exit 9\ncommand: 'true'\n"
    report, said = prove(workload(tmp_path, text), code=1)
    assert "setup failed (9): broken" in said
    assert report == []


def test_run_prove_keeps_the_directory_and_the_network_settings(run: Run, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "f").touch()
    result = run("sh", "-c", "echo x >> f; chown nobody f", options=("--prove",))
    assert result.report["proof"]["isolation"] == "command"
    assert result.report["proposal"]["minimal"] == ["CAP_CHOWN"]
    assert (tmp_path / "w" / "f").read_text() == "x\n", "a trial wrote into the real directory"
    result = run(
        *("python3", "-m", "http.server", "80"),
        options=("--prove", "--check", "curl -fs http://127.0.0.1/"),
        net="sysctl -qw net.ipv4.ip_unprivileged_port_start=0",
    )
    assert result.report["proposal"]["minimal"] == []


def test_a_report_can_be_proven_later(run: Run, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "f").touch()
    run("chown", "nobody", "f")
    report, _ = prove(tmp_path / "report.json", "-o", str(tmp_path / "proven.json"))
    assert report["proposal"]["minimal"] == ["CAP_CHOWN"]
    text = subprocess.run(
        [CAPADVISE, "emit", tmp_path / "proven.json", "--format", "docker", "--set", "minimal"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "--cap-drop=ALL --cap-add=CHOWN" in text


@pytest.mark.parametrize(
    ("command", "number", "times"),
    [
        *[("prove", signal.SIGINT, times) for times in (1, 5)],
        *[("run", signal.SIGTERM, 1), ("run", signal.SIGHUP, 2)],
    ],
    ids=["prove, Ctrl-C", "prove, Ctrl-C again and again", "run, SIGTERM", "run, terminal lost"],
)
def test_an_interruption_leaves_the_best_set_in_the_report(
    command: str, number: signal.Signals, times: int, tmp_path: Path
) -> None:
    path = tmp_path / "r.json"
    bounding = f"{sum(1 << cap for cap in procfs.capability_sets().bounding):016x}"
    mark = f"{600 + os.getpid()}"
    held = f"grep -q CapBnd..{bounding} /proc/self/status || sleep {mark}"
    script = f"{held}; chown nobody f"
    text = f"name: w\nsetup: touch f\ncommand: '{script}'\n"
    words = {
        "prove": [str(workload(tmp_path, text))],
        "run": ["--prove", "--", "sh", "-c", script],
    }[command]
    here = tmp_path / "here"  # trials of what was run there write to a copy
    here.mkdir()
    (here / "f").touch()
    process = subprocess.Popen(
        [CAPADVISE, command, "-o", str(path), *words],
        cwd=here,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # a shell that starts these tests in the background has them ignore it
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    # not in the first trial, with everything
    sleeps = f"sleep\0{mark}\0".encode()
    until(lambda: any(procfs.command_line(pid) == sleeps for pid in procfs.processes()), 60)
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.05)
    late = [-number] if times > 1 else []  # all is done, and its interpreter has no handler more
    assert process.wait(PATIENCE) in (130, *late)
    proof = json.loads(path.read_text())["proof"]
    assert not proof["complete"]
    assert "CAP_CHOWN" in proof["minimal"]["caps"]
    until(lambda: not leftovers())


def host() -> dict[str, object]:
    """What trials must not change. Neighbours may meanwhile change what is not of these trials."""
    listing = subprocess.run(
        "find /etc /var/spool -mindepth 1 -printf '%p %m %u %g %T@\\n' | sort; ls /var/tmp | grep "
        + MARKED,
        shell=True,
        capture_output=True,
        text=True,
    ).stdout
    return {
        "ipc": f" {SEGMENT} " in subprocess.run(["ipcs"], capture_output=True, text=True).stdout,
        "files": listing,
        "cgroups": Path("/proc/self/cgroup").read_text(),
        "hostname": os.uname().nodename,
    }


MARKED, SEGMENT = "trial-made-this", 48271
"""A file in /var/tmp and the bytes of a shared memory segment, as nobody else has."""


OTHER_MOUNTS = """
mount --make-rprivate / && mount --make-rshared / || exit 9
folder=$1; shift
cat /proc/self/mountinfo >"$folder/before"
"$@"; code=$?
cat /proc/self/mountinfo >"$folder/after"
exit $code
"""
"""Mounts as the host's, shared, but of our own: neighbours' containers come and go in those."""


def test_the_host_is_unchanged_after_trials(tmp_path: Path) -> None:
    before, processes = host(), set(procfs.processes())
    text = """
name: w
kind: daemon
setup: |
  useradd -M trialuser; touch /var/tmp/MARKED; ipcmk -M SEGMENT
  mount -t tmpfs none /mnt; (sleep 900 &)
  hostname changed
command: setsid sleep 901 & sleep 902 & chown nobody f; exec sleep 903
check: test "$(stat -c %U f)" = nobody
timeout: 3
"""
    text = text.replace("MARKED", MARKED).replace("SEGMENT", str(SEGMENT))
    path = workload(tmp_path, text.replace("hostname changed", "touch f; hostname changed"))
    prove(path, before=("unshare", "-m", "sh", "-c", OTHER_MOUNTS, "sh", str(tmp_path)))
    then, now = (set((tmp_path / name).open()) for name in ("before", "after"))
    assert not now - then
    until(lambda: not leftovers())
    assert host() == before
    until(lambda: not procfs.abandoned(Path("/tmp"), "capadvise-trial-"))
    lines = {pid: procfs.command_line(pid) for pid in set(procfs.processes()) - processes}
    assert not {pid: line for pid, line in lines.items() if b"sleep\x0090" in line}


IN_A_CHROOT = """
mount --make-rshared / # as systemd has it
for path in /*; do
    if [ -L "$path" ]; then
        cp -P "$path" "$1"
    elif [ -d "$path" ]; then
        mkdir "$1$path" && mount "--$([ "$path" = /tmp ] || echo r)bind" "$path" "$1$path"
    fi
done
cp /proc/self/mountinfo "$1/before"
chroot "$1" "$3" prove --json "$2"
grep -vxFf "$1/before" /proc/self/mountinfo >&2 || true # what is mounted now and was not
"""


def test_a_chroot_whose_root_is_no_mount_point_is_isolated_all_the_same(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    path = workload(tmp_path, "name: w\ncommand: [chown, nobody, f]\nsetup: touch f /etc/new\n")
    done = subprocess.run(
        [*("unshare", "-m", "bash", "-ec", IN_A_CHROOT, "-", root, path, CAPADVISE)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["proposal"]["minimal"] == ["CAP_CHOWN"]
    assert done.stderr == ""
    assert not Path("/etc/new").exists()
