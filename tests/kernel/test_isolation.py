"""What a trial of a command or a workload file can reach on the machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.counting import ASK, counting
from tests.support.runs import CAPADVISE, Run

MARK = f"capadvise-isolation-{os.getpid()}"
PLACES = [Path(place, MARK) for place in ("/tmp", "/dev")]
CHOWN = "chown nobody f"
SAME = "cat /proc/sys/kernel/panic > /proc/sys/kernel/panic"


@pytest.fixture(autouse=True)
def work(tmp_path: Path) -> Iterator[Path]:
    work = tmp_path / "w"
    work.mkdir()
    (work / "f").touch()
    yield work
    subprocess.run(["rm", "-rf", *PLACES], check=True)
    groups = subprocess.run(
        ["find", "/sys/fs/cgroup", "-depth", "-type", "d", "-name", f"{MARK}*"],
        capture_output=True,
        text=True,
    )
    for group in groups.stdout.split():
        os.rmdir(group)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.parent.name)
def test_a_trial_writes_to_a_folder_of_its_own(run: Run, place: Path) -> None:
    result = run("sh", "-c", f"echo x >> {place}; {CHOWN}", options=("--prove",))
    assert result.minimal == {"CHOWN"}
    assert place.read_text() == "x\n"


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.parent.name)
def test_a_loss_there_is_named(run: Run, place: Path) -> None:
    command = f"mkdir -p {place} && chown nobody {place} 2>/dev/null || :"
    result = run("sh", "-c", command, options=("--prove",))
    need = result.need("CHOWN")
    assert need is not None
    assert str(place) in need["lost_without"]


def test_trials_begin_with_the_tmp_of_before(run: Run) -> None:
    result = run("sh", "-c", f"mkdir {PLACES[0]} && {CHOWN}", options=("--prove",))
    assert result.minimal == {"CHOWN"}


def test_a_device_of_the_machine_works(run: Run) -> None:
    command = f"echo x > /dev/null && head -c 9 /dev/urandom > f && {CHOWN}"
    assert run("sh", "-c", command, options=("--prove",)).minimal == {"CHOWN"}


# Not in the group that capadvise makes for the command: what is in there goes with it.
GROUPS = "find /sys/fs/cgroup -name cgroup.procs -not -path '*/capadvise-*'"
NEW_GROUP = f"mkdir $({GROUPS} | sed -n '1s,/[^/]*$,,p')/{MARK}-$$"


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (SAME, "/proc/sys/kernel/panic"),
        (f"unshare -m sh -c '{SAME}'", "/proc/sys/kernel/panic"),
        ("echo change > /sys/class/mem/null/uevent", "/sys/devices/virtual/mem/null/uevent"),
        (NEW_GROUP, f"a control group {MARK}"),
    ],
    ids=["sysctl", "in other mounts", "sysfs", "cgroup"],
)
def test_what_would_change_the_machine_is_said_before_the_first_trial(
    run: Run, tmp_path: Path, command: str, named: str
) -> None:
    result = run("sh", "-c", f"{command}; {CHOWN}", options=("--prove",))
    assert "each trial would change this machine, as the recorded run did: " in result.stderr
    assert named in result.stderr
    assert result.report["proof"] is None
    assert {"CHOWN"} <= result.recommended
    words = [CAPADVISE, "prove", tmp_path / "report.json"]
    later = subprocess.run(words, capture_output=True, text=True)
    assert later.returncode == 1
    assert "each trial would change this machine, as the first one did: " in later.stderr
    in_place = subprocess.run([*words, "--in-place", "--json"], capture_output=True, text=True)
    assert "CAP_CHOWN" in json.loads(in_place.stdout)["proposal"]["minimal"]


def test_settings_of_a_trials_own_namespaces_are_not_the_machines(run: Run) -> None:
    place = "/proc/sys/net/ipv4/ip_forward"
    own = f"unshare -m sh -c 'echo 0 > /proc/self/oom_score_adj; cat {place} > {place}'"
    assert run("sh", "-c", f"{own}; {CHOWN}", options=("--prove",)).report["proof"]["complete"]


def test_a_write_past_the_isolation_is_seen_in_the_first_trial(run: Run) -> None:
    command = f"echo x >> /proc/{os.getpid()}/root{PLACES[0]}; {CHOWN}"
    result = run("sh", "-c", command, options=("--prove",))
    said = "each trial would change this machine, as the first one did: "
    assert f"{said}{PLACES[0]}" in result.stderr
    assert PLACES[0].read_text() == "x\nx\n"


@pytest.mark.parametrize("folder", ["/tmp", "/run"])
def test_a_socket_that_the_command_needs_is_named_and_reached(run: Run, folder: str) -> None:
    path = Path(folder, MARK)
    ask = ASK.format(path=path)
    with counting(path) as told:
        result = run("sh", "-c", f"{ask} && {CHOWN}", options=("--prove",))
        assert result.minimal == {"CHOWN"}
        said = f"trials reach {path} of this machine: without, the command fails"
        assert f"capadvise: sh: {said}" in result.stderr
        assert said in result.report["proof"]["cautions"]
        before = len(told)
        run("sh", "-c", f"{ask} 2>/dev/null; {CHOWN}", options=("--prove",))
        assert len(told) == before + 1, "only the recorded run, since it passes without"


def test_a_workload_file_that_changes_the_machine_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(f"name: w\nsetup: touch f\ncommand: '{SAME}; {CHOWN}'\n")
    words = [CAPADVISE, "prove", "--json", path]
    done = subprocess.run(words, capture_output=True, text=True)
    cautions = json.loads(done.stdout)["proof"]["cautions"]
    assert "trials changed this machine: /proc/sys/kernel/panic" in cautions


def test_what_others_do_in_tmp_during_a_proof_is_no_loss(run: Run) -> None:
    """Trees of other programs come and go, large enough to be removed in the middle of a look."""
    script = "d=$(mktemp -d /tmp/others-XXXXXX); cd $d; touch $(seq 300); sleep 0.2; rm -r $d"
    script = f"while :; do ({script}); done"
    with subprocess.Popen(["bash", "-c", script], start_new_session=True) as others:
        try:
            result = run("sh", "-c", CHOWN, options=("--prove",))
        finally:
            os.killpg(others.pid, signal.SIGKILL)
            subprocess.run("rm -rf /tmp/others-??????", shell=True, check=True)
    assert result.report["conclusion"]["companions"]["no_new_privs"] == "tried"
    differences = [d for t in result.report["proof"]["trials"] for d in t["differences"]]
    assert not [one for one in differences if "/tmp/others" in one]
