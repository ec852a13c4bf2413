"""What is around a unit may be strange or hostile: names, lines, other units, a killed trial."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import time

from capadvise.kernel import procfs
from tests.support.guest import Guest, booted
from tests.support.runs import CAPADVISE
from tests.support.wait import until

ODD = r"odd\x2dname@a\x20b.service"
TEMPLATE = """\
[Service]
ExecStart=/bin/sh -c 'chown nobody /run/bin; echo\\nMainPID=x\\nActiveState=failed\\n\
exec sleep 600'
"""
"""systemctl prints its lines as they are, between its own."""
DELEGATE = """\
[Service]
Delegate=yes
ExecStart=/bin/sh -c 'cd /sys/fs/cgroup/system.slice/outer.service && \
mkdir -p system.slice/inner.service && echo $$$$ >system.slice/inner.service/cgroup.procs && \
while :; do chroot / mknod /run/node c 1 3; rm -f /run/node; sleep 0.2; done'
"""
"""As a container does in which a systemd runs, or a user's manager."""
INNER = "[Service]\nExecStart=/bin/sh -c 'while :; do chown nobody /run/bin; sleep 0.2; done'\n"
KILLED = """\
[Service]
ExecStart=/bin/sh -c 'chown nobody /run/bin; exec sleep 600'
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE
"""


def started(guest: Guest, *words: str, umask: int = -1) -> subprocess.Popen[bytes]:
    """capadvise, there."""
    return subprocess.Popen(
        guest.words(CAPADVISE, *words),
        env=guest.environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        umask=umask,
    )


def test_an_odd_name_and_an_open_umask(guest: Guest) -> None:
    """Nobody but root can write to what its manager reads, and the check names that unit."""
    guest.unit(r"odd\x2dname@.service", TEMPLATE)
    words = ("run", "-q", "--no-tui", "-o", "/run/odd.json")
    process = started(guest, *words, "--", "systemctl", "start", ODD, umask=0)
    until(lambda: guest.state(ODD) == "active")
    ours = [guest.root / path for path in guest.traces()]
    assert {path.suffix for path in ours} >= {".conf"}
    places = [*ours, *(path.parent for path in ours)]
    assert not [path for path in places if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)]
    process.send_signal(signal.SIGINT)
    assert process.wait(90) == 0
    report = json.loads((guest.root / "run/odd.json").read_text())
    assert report["proposal"]["cap_add"] == ["CHOWN"]
    check = report["workload"]["check"]
    guest.systemctl("start", ODD)
    assert guest.call("sh", "-c", check).returncode == 0
    guest.systemctl("stop", ODD)
    assert guest.call("sh", "-c", check).returncode != 0


def test_a_group_of_the_same_name_is_another_unit(guest: Guest) -> None:
    guest.unit("outer.service", DELEGATE)
    guest.unit("inner.service", INNER)
    for name in ("outer", "inner"):
        guest.systemctl("start", name)
    until(lambda: "mknod" in str([procfs.arguments(pid) for pid in procfs.processes()]))
    words = ("attach", "-q", "--no-tui", "--for", "2", "-o", "/run/inner.json", "inner.service")
    assert started(guest, *words).wait(90) == 0
    for name in ("outer", "inner"):
        guest.systemctl("stop", name)
    report = json.loads((guest.root / "run/inner.json").read_text())
    assert report["proposal"]["cap_add"] == ["CHOWN"]


def test_a_drop_in_that_counts_for_more_is_named(guest: Guest) -> None:
    """It could take back what a trial takes away, and the trial would prove nothing."""
    guest.unit("late.service", KILLED)
    folder = guest.root / "etc/systemd/system/late.service.d"
    folder.mkdir()
    (folder / "zzzz.conf").write_text("[Service]\nCapabilityBoundingSet=CAP_CHOWN\n")
    guest.systemctl("daemon-reload")
    done = guest.capadvise("run", "--no-tui", "--", "systemctl", "start", "late")
    assert "late.service.d/zzzz.conf would count for more" in done.stderr
    assert (done.returncode, guest.state("late")) == (3, "inactive")


def test_two_at_a_time_do_not_change_it(guest: Guest) -> None:
    """The one that ends last would start it again, as it was when that began."""
    guest.unit("twice.service", KILLED)
    first = started(guest, "run", "-q", "--no-tui", "--", "systemctl", "start", "twice")
    until(lambda: guest.state("twice") == "active")
    second = guest.capadvise("run", "--no-tui", "--", "systemctl", "restart", "twice")
    assert f"twice.service is recorded or tried already: by process {first.pid}" in second.stderr
    assert (second.returncode, first.poll()) == (3, None)
    first.send_signal(signal.SIGINT)
    first.wait(90)
    assert guest.state("twice") == "inactive"


def test_a_killed_trial_leaves_the_unit_as_it_was(guest: Guest) -> None:
    """The process that had changed the unit is gone: the prover undoes it."""
    guest.unit("stage.service", KILLED)
    guest.systemctl("start", "stage")
    shown = ("show", "-p", "ActiveState,CapabilityBoundingSet,DropInPaths", "stage")
    as_it_was = guest.systemctl(*shown)
    words = ("run", "-q", "--no-tui", "--prove", "-o", "/run/stage.json")
    process = started(guest, *words, "--", "systemctl", "restart", "stage")

    def stage() -> int | None:
        """The process that has made the note of what is to be undone, once the unit is changed."""
        marks = [path.rpartition(".")[2] for path in guest.traces() if "units/" in path]
        pids = [int(mark.partition("-")[0]) for mark in marks]
        changed = "zzz-capadvise" in guest.systemctl(*shown)
        return next((pid for pid in pids if changed and pid != process.pid), None)

    os.kill(until(stage, 150) or 0, signal.SIGKILL)
    process.wait(150)
    assert guest.traces() == []
    assert guest.systemctl(*shown) == as_it_was
    guest.systemctl("stop", "stage")


def test_a_manager_that_is_gone_holds_nobody_up() -> None:
    """Whoever asks twice for the end gets it, though nobody can tell of the unit any more."""
    with booted() as guest:
        guest.unit("orphan.service", KILLED)
        process = started(guest, "run", "-q", "--no-tui", "--", "systemctl", "start", "orphan")
        until(lambda: guest.state("orphan") == "active")
        os.kill(guest.pid, signal.SIGKILL)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(1)
        assert process.wait(90) == 3
