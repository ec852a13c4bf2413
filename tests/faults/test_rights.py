"""While a target runs, every thread of ours has what ``rights`` lists, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from capadvise.kernel import own_caps, procfs
from capadvise.kernel.process_tree import descendants
from capadvise.model.caps import NAMES, CapSet, Sets
from tests.faults.aftermath import kind_of, ours
from tests.support.containers import BOX
from tests.support.processes import Marked
from tests.support.runs import CAPADVISE
from tests.support.tmux import Tmux
from tests.support.trace_buffers import unread
from tests.support.wait import until

UNDER_FILTER = Path(__file__).parents[1] / "programs" / "under_filter.py"
RUN = (CAPADVISE, "run", "-q", "-o", "/dev/null")


def sets(pid: int) -> list[Sets]:
    """Of each thread, but for those that end while they are listed."""
    found = []
    for thread in procfs.threads(pid):
        with suppress(OSError):
            found.append(procfs.capability_sets(thread))
    return found


def names(caps: CapSet) -> set[str]:
    return {cap.short for cap in caps}


def assert_cut_down(supervisor: int, *, sudo: bool = False, threads: int = 1) -> None:
    """All are, soon after the target was executed: the guardian waits for that."""
    wanted = {row.name for row in own_caps.TABLE if row.applies(sudo=sudo)}

    def of(kind: str) -> list[Sets]:
        return [
            one for pid, found in ours(supervisor).items() if found == kind for one in sets(pid)
        ]

    def cut_down() -> bool:
        kept = {"supervisor": (wanted, threads), "guardian": ({"KILL"}, 1)}
        return all(
            len(found := of(kind)) >= least
            and all(names(one.effective) == names(one.permitted) == caps for one in found)
            for kind, (caps, least) in kept.items()
        )

    until(cut_down, shows=lambda: (of("supervisor"), of("guardian")))


def end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(60)


def test_the_table_names_the_kernels_numbers() -> None:
    assert [NAMES[row.number] for row in own_caps.TABLE] == [row.name for row in own_caps.TABLE]
    assert {NAMES[number] for number in own_caps.GUARDIAN} == {"KILL"}


@pytest.mark.parametrize("options", [(), ("--retry",), ("--check", "false")])
def test_of_run(marked: Marked, options: tuple[str, ...]) -> None:
    environment = {**os.environ, "SUDO_UID": "1", "SUDO_GID": "1"} if options else None
    process = subprocess.Popen([*RUN, *options, "--", "sleep", marked.word], env=environment)
    until(marked.processes)
    assert_cut_down(process.pid, sudo=bool(options), threads=2)
    (target,) = marked.processes()
    assert procfs.capability_sets(target).permitted == procfs.capability_sets().bounding
    end(process)


@pytest.mark.parametrize("call", ["capset", "capget"])
def test_a_filter_that_refuses_to_give_them_up_stops_nothing(tmp_path: Path, call: str) -> None:
    report = tmp_path / "r.json"
    filtered = [sys.executable, UNDER_FILTER, call, "EPERM"]
    command = [CAPADVISE, "run", "-o", report, "--", "chown", "1", tmp_path]
    done = subprocess.run([*filtered, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(report.read_text())["proposal"]["recommended"] == ["CAP_CHOWN"]


def test_of_attach(marked: Marked) -> None:
    target = subprocess.Popen(["sleep", marked.word])
    command = [CAPADVISE, "attach", "-o", "/dev/null", str(target.pid)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert b"watching" in process.stderr.readline()
    assert_cut_down(process.pid)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    target.kill()
    target.wait()


@pytest.mark.usefixtures("boxes")
def test_of_containers(marked: Marked, tmp_path: Path) -> None:
    report = tmp_path / "r.json"
    script = f"trap exit TERM; sleep {marked.word} & wait"
    inside = ["docker", "run", "--rm", "--network=none", BOX, "sh", "-c", script]
    process = subprocess.Popen([*RUN, "-o", str(report), "--", *inside])
    until(marked.processes)
    assert_cut_down(process.pid, threads=2)
    until(lambda: not unread(process.pid))  # it is looked at when its exec is read
    end(process)
    sysctls = json.loads(report.read_text())["posture"]["sysctls"]
    assert "net.ipv4.ip_unprivileged_port_start" in sysctls  # of a network that was entered


def test_of_the_live_screen(marked: Marked, tmp_path: Path) -> None:
    screen = Tmux(tmp_path, 100, 30)
    try:
        screen.run(CAPADVISE, "run", "-o", "r.json", "--", "sleep", marked.word)
        until(marked.processes)
        found = [
            pid
            for pid in marked.processes(ours=True)
            if "capadvise" in " ".join(procfs.arguments(pid)[:2]) and not kind_of(pid)
        ]
        (screens,) = (pid for pid in found if procfs.parent(pid) not in found)
        (judge,) = (pid for pid in found if pid != screens and not descendants(pid))
        (recorder,) = (pid for pid in found if pid not in (screens, judge))
        assert_cut_down(recorder, threads=2)
        assert all(not one.permitted | one.effective for one in sets(judge))
        assert len(sets(screens)) >= 4  # it draws, and reads keys, output and what the others say
        wanted = {row.name for row in own_caps.TABLE if row.applies(sudo=False)}
        assert all(names(one.effective) == names(one.permitted) == wanted for one in sets(screens))
        screen.keys("q")
        until(lambda: not marked.processes())
    finally:
        screen.tell("kill-server")
