"""The guardian and the programs that it starts: each can end before it is ready."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from capadvise.kernel import json_lines
from capadvise.kernel.process_tree import OwnCgroup
from capadvise.observe.retry.launch import read_filter, send_filter, start_tracer
from capadvise.observe.supervise import guardian
from tests.support.cost import loaded


def test_a_tracer_that_cannot_be_executed_is_no_second_guardian(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    read, write = os.pipe()
    plan = {"report": write, "path": [], "tracer": {}}
    assert start_tracer(plan, 1, ()) == {"failed": "start the tracer"}
    assert os.read(read, 1) == b""  # nobody holds the other end
    os.wait()


def test_a_filter_that_does_not_come_whole_is_not_waited_for() -> None:
    """Its sender is gone: the target is not executed, and does not wait for ever either."""
    read, write = os.pipe()
    send_filter(write, b"x" * 80)
    os.close(write)
    assert os.read(read, 1) == b"g"
    short = os.read(read, 20)
    read_again, write_again = os.pipe()
    os.write(write_again, short)
    os.close(write_again)
    with pytest.raises(BrokenPipeError):
        read_filter(read_again)
    for fd in (read, read_again):
        os.close(fd)


BEGUN = """
import os, sys
from capadvise.kernel import odd_start
from capadvise.observe.supervise import guardian
for fd in map(int, sys.argv[1:]):
    os.close(fd)
odd_start.fill_streams()
(control, ours), (report, said) = os.pipe(), os.pipe()
kept, ours_alone = os.open("/dev/zero", 0), os.open("/dev/zero", 0)
os.set_inheritable(targets := os.open("/dev/zero", 0), True)
guardian.json_lines.LineReader.wait = lambda _: print(*os.listdir("/proc/self/fd"), flush=True)
pid = guardian.begin(control, said, [kept])
os.close(said)
assert os.read(report, 1) == b""
assert os.waitpid(pid, 0)[1] == 0
print(0, 1, 2, control, said, kept, targets)
"""


@pytest.mark.parametrize("closed", [(), ("0", "2")])
def test_a_guardian_whose_supervisor_is_gone_before_it_said_what_to_do(
    closed: tuple[str, ...],
) -> None:
    """It ends, and has held nothing but what is its own or the target's; of streams that were
    ``closed``, what stands in their place."""
    words = [sys.executable, "-c", BEGUN, *closed]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    held, its_own = (set(line.split()) for line in done.stdout.splitlines())
    assert len(held - its_own) == 1  # the list's own
    assert its_own <= held


def test_without_a_plan_the_group_of_the_target_is_removed() -> None:
    """The supervisor was killed right after it had made the group."""
    ended: list[str] = []

    class Group(OwnCgroup):
        def __init__(self) -> None:
            pass

        def end(self) -> None:
            ended.append("group")

    (control, closed), (_, report) = os.pipe(), os.pipe()
    os.close(closed)
    guardian.main(control, report, Group())
    assert ended == ["group"]


def test_a_target_s_process_that_ends_before_it_is_ready_has_failed() -> None:
    (silent, closed), (heard, report) = os.pipe(), os.pipe()
    os.close(closed)
    plan = {"cgroup": None}
    its = guardian.Guardian(plan, json_lines.LineReader(silent), report, silent)
    assert its.has_executed(silent)
    assert not its.is_well(silent)
    assert "has ended" in json.loads(os.read(heard, 4096))["step"]
    for fd in (silent, heard, report):
        os.close(fd)


def test_the_two_licences_never_meet() -> None:
    script = "import capadvise.cli, capadvise.cli.commands.run, capadvise.observe.supervise.record"
    for module, libraries in (("supervise.launcher", set()), ("retry.tracer", {"ptrace"})):
        modules = loaded(f"{script}, capadvise.observe.{module}")
        assert modules & {"prctl", "ptrace"} == libraries
