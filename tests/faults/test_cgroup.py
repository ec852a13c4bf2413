"""A target that hides in a pid namespace which was there before: its control group tells of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

import pytest

from capadvise.kernel import procfs
from capadvise.kernel.process_tree import descendants
from capadvise.observe.supervise.command_subject import GUARDIAN_KILLED
from tests.faults.aftermath import nothing_is_left, ours, sound
from tests.support.processes import Marked
from tests.support.runs import CAPADVISE
from tests.support.wait import PATIENCE, until

HIDES = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int count, char **words) {
  char there[64], script[128];
  chown("f", 1, 1);
  snprintf(there, sizeof there, "/proc/%s/ns/pid", words[1]);
  snprintf(script, sizeof script, "sleep %s; chown 1 f; exec sleep %s", words[3], words[2]);
  if (setns(open(there, O_RDONLY | O_CLOEXEC), CLONE_NEWPID)) return 1;
  if (fork() == 0) {
    if (fork() == 0) {
      setsid();
      execl("/bin/sh", "sh", "-c", script, NULL);
    }
    return 0;
  }
  wait(NULL);
  return 0;
}
"""
"""Compiled: it has hidden before its time is up, however busy the machine is."""


@pytest.fixture
def other_namespace(marked: Marked) -> Iterator[int]:
    """The first process of a pid namespace that nobody of ours made."""
    process = subprocess.Popen(["unshare", "--pid", "--fork", "sh", "-c", "sleep 300; :"])
    yield until(lambda: [pid for pid in descendants(process.pid) if procfs.threads(pid)])[0]
    for pid in [*descendants(process.pid), process.pid]:
        with suppress(ProcessLookupError):  # all of a pid namespace end with its first process
            os.kill(pid, signal.SIGKILL)
    process.wait()


def start(
    namespace: int, folder: Path, word: str, *options: str, seconds: str = "0"
) -> subprocess.Popen[bytes]:
    (folder / "f").touch()
    build = ["gcc", "-O1", "-w", "-x", "c", "-", "-o", str(folder / "hides")]
    subprocess.run(build, input=HIDES, text=True, check=True)
    words = [CAPADVISE, "run", "-q", "-o", str(folder / "r.json"), *options, "--"]
    words += [str(folder / "hides"), str(namespace), word, seconds]
    return subprocess.Popen(words, cwd=folder, stdin=subprocess.DEVNULL)


def wait_until_hidden(marked: Marked, supervisor: subprocess.Popen[bytes]) -> None:
    """It runs, and belongs to nobody of ours; or its time was up before we looked."""

    def hidden() -> bool:
        return bool(set(marked.processes()) - set(descendants(supervisor.pid)))

    until(lambda: hidden() or supervisor.poll() is not None)


def cgroups() -> list[Path]:
    """Those of targets. ``os.walk``, as ``Path.glob`` fails where a group is removed meanwhile."""
    walked = os.walk("/sys/fs/cgroup")
    names = [(folder, name) for folder, below, _ in walked for name in below]
    return [Path(*place) for place in names if fnmatch(place[1], "capadvise-*-*-*")]


def of(supervisor: int) -> list[Path]:
    return [path for path in cgroups() if path.name.startswith(f"capadvise-{supervisor}-")]


@pytest.mark.parametrize("how", ["--for", "SIGTERM", "kill the supervisor", "kill the guardian"])
@pytest.mark.parametrize("retry", [(), ("--retry",)])
def test_who_hides_in_a_pid_namespace_is_ended(
    how: str, retry: tuple[str, ...], other_namespace: int, marked: Marked, tmp_path: Path
) -> None:
    limit = ("--for", "2") if how == "--for" else ()
    process = start(other_namespace, tmp_path, marked.word, *limit, *retry)
    wait_until_hidden(marked, process)
    processes = ours(process.pid)
    if how == "SIGTERM":
        process.terminate()
    elif how == "kill the supervisor":
        process.kill()
    elif how == "kill the guardian":
        os.kill(next(pid for pid, kind in processes.items() if kind == "guardian"), 9)
    process.wait(PATIENCE)
    nothing_is_left(marked, set(processes))
    until(lambda: not of(process.pid), shows=cgroups)
    assert procfs.state(other_namespace) == "S"
    if how == "kill the guardian":
        report = sound(tmp_path / "r.json")
        assert report is not None
        assert GUARDIAN_KILLED in report.recording.cautions


def test_what_it_does_there_is_recorded(
    other_namespace: int, marked: Marked, tmp_path: Path
) -> None:
    """It is a daemon like another one: the recording goes on until it has ended."""
    process = start(other_namespace, tmp_path, "1", seconds="1")
    process.wait(PATIENCE)
    report = sound(tmp_path / "r.json")
    assert report is not None
    assert report.recording.exit_status == 0
    programs = {check.program for check in report.recording.checks if check.cap.short == "CHOWN"}
    assert "chown" in programs
    assert report.recording.seconds > 2
    assert not of(process.pid)


def test_both_are_killed_and_the_next_start_ends_it(marked: Marked, tmp_path: Path) -> None:
    words = [CAPADVISE, "run", "-q", "-o", "/dev/null", "--", "sleep", marked.word]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    until(marked.processes)
    time.sleep(0.3)
    processes = ours(process.pid)
    # Neither sees the other's end: the guardian would be woken by it, and clean up.
    process.send_signal(signal.SIGSTOP)
    for pid in reversed(processes):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    assert marked.processes()
    subprocess.run([CAPADVISE, "run", "-q", "-o", "/dev/null", "--", "true"], check=True)
    nothing_is_left(marked, {process.pid})
    until(lambda: not of(process.pid), shows=cgroups)


ENTERED = """
import os, sys
place = next(line[3:-1] for line in open("/proc/self/cgroup") if line[:3] == "0::")
root = next(line.split()[1] for line in open("/proc/mounts") if line.split()[2] == "cgroup2")
below = f"{root}{place}/its own"
os.mkdir(below)
open(f"{below}/cgroup.procs", "w").write("0")
os.execvp("sleep", ["sleep", sys.argv[1]])
"""


def test_it_may_make_groups_of_its_own(marked: Marked, tmp_path: Path) -> None:
    words = [CAPADVISE, "run", "-q", "-o", str(tmp_path / "r.json"), "--", sys.executable]
    process = subprocess.Popen([*words, "-c", ENTERED, marked.word], stdin=subprocess.DEVNULL)
    (pid,) = until(marked.processes)
    assert procfs.cgroup(pid).rstrip().endswith("/its own")
    process.terminate()
    process.wait(PATIENCE)
    nothing_is_left(marked, {process.pid})
    assert not of(process.pid)
    assert json.loads((tmp_path / "r.json").read_text())["recordings"][0]["exit_status"] == 143


NO_MOUNT = """
mount --make-rprivate /
umount -l "$(findmnt -nt cgroup2 -o TARGET | head -1)"
exec "$@"
"""


def test_nothing_of_version_2_is_mounted(tmp_path: Path) -> None:
    words = ["unshare", "--mount", "sh", "-c", NO_MOUNT, "sh", CAPADVISE, "run", "-q", "-o"]
    inside = "cat /proc/self/cgroup >cgroup; exit 7"
    done = subprocess.run(
        [*words, "r.json", "--", "sh", "-c", inside], cwd=tmp_path, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 7
    assert "/capadvise-" in (tmp_path / "cgroup").read_text().split("0::")[1]
