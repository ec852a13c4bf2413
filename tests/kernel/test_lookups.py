"""Lookups in /proc are those of threads that are followed, and of all of these."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from capadvise.observe.ftrace.bpf_probe import Followed
from capadvise.observe.ftrace.instances import Buffers, require
from capadvise.observe.ftrace.kallsyms import Symbols
from capadvise.observe.ftrace.pointer_readers import ProcLookups
from capadvise.observe.tracking.tasks import OneCommand, Scope
from capadvise.observe.tracking.tracker import Tracker

from .rows import IN_SHELL, PYTHON

LOOK = "cat /proc/1/stat >/dev/null"
THREAD = """import os, threading
def start():
    {}
thread = threading.Thread(target=start)
thread.start()
thread.join()
"""
FORKS = THREAD.format(f'os.system("{LOOK}")')
EXECS = THREAD.format('os.execvp("cat", ["cat", "/proc/1/stat"])')
SHORT = """import ctypes, mmap
size, libc = mmap.PAGESIZE, ctypes.CDLL(None)
pages = mmap.mmap(-1, 2 * size)
end = ctypes.addressof(ctypes.c_char.from_buffer(pages)) + size
assert libc.mprotect(ctypes.c_void_p(end), size, 0) == 0
path = b"{}\\0"
pages[size - len(path) : size] = path
assert libc.open(ctypes.c_void_p(end - len(path)), 0) >= 0
"""
"""Opens a path behind which there is no memory."""
GROUP = f"capadvise-test-{os.getpid()}"
MOVED = f"""mount -t cgroup2 cgroup2 /mnt && mkdir /mnt/{GROUP}
echo $$ >/mnt/{GROUP}/cgroup.procs
{LOOK}
echo $$ >/mnt/cgroup.procs && rmdir /mnt/{GROUP}
"""
WAYS = {
    "exec": f"exec {LOOK}",
    "fork": f"{LOOK}; true",
    "orphan": f"(setsid sh -c '{LOOK}; true' & true) & wait",
    "fork of a thread": f"{IN_SHELL} -c '{FORKS}'; true",
    "exec of a thread": f"{IN_SHELL} -c '{EXECS}' >/dev/null; true",
    "another pid namespace": f"unshare --pid --fork --mount-proc sh -c '{LOOK}; true'",
    "another control group": f"unshare --mount sh -c '{MOVED}'",
}


@contextmanager
def _read(numbers: int | None = None) -> Iterator[tuple[Followed, ProcLookups]]:
    root = require()
    with closing(Followed(root, numbers)) as followed:
        lookups = ProcLookups(root, followed)
        with closing(lookups):
            yield followed, lookups


def _looked_at(followed: Followed, lookups: ProcLookups, script: str) -> set[int]:
    """Processes, while a followed script looks at 1, and we at 2. Orphans end before their output
    does."""
    words, pipe = ["sh", "-c", f"read go; {script}"], subprocess.PIPE
    command = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True)
    followed.add([command.pid])
    Path("/proc/2/stat").read_text()
    command.communicate("go\n", timeout=60)
    Path("/proc/2/stat").read_text()
    assert command.returncode == 0
    return {place[0] for lookup in lookups.take() if (place := lookup.place)}


@pytest.mark.parametrize("script", WAYS.values(), ids=WAYS)
def test_what_a_followed_thread_starts_is_followed_and_a_stranger_is_not(script: str) -> None:
    with _read() as (followed, lookups):
        assert _looked_at(followed, lookups, script) == {1}


@pytest.mark.parametrize("path", ["/proc", "/proc/", "/proc/1", "/proc/1/stat"])
def test_a_path_at_the_end_of_the_memory_is_read(path: str) -> None:
    with _read() as (followed, lookups):
        command = subprocess.Popen(
            [PYTHON, "-c", f"input(); {SHORT.format(path)}"], stdin=subprocess.PIPE
        )
        followed.add([command.pid])
        command.communicate(b"\n", timeout=60)
        assert command.returncode == 0
        assert path.encode() in {lookup.path.partition(b"\0")[0] for lookup in lookups.take()}


@pytest.mark.parametrize("probed", [True, False], ids=["bpf", "event"])
def test_who_lists_all_processes_is_told_with_and_without_bpf(probed: bool) -> None:
    """By an event where the kernel compares texts (Linux 5.17)."""
    script = "read go; ls /proc; cat /proc/1/stat"
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    target = subprocess.Popen(["sh", "-c", script], stdin=pipe, stdout=nowhere, text=True)
    buffers, scope = Buffers(require(), missing=frozenset()), Scope(0, target.pid, 0)
    try:
        if probed:
            buffers.pointers.open(buffers.root, containers=False, sockets=False)
        buffers.open(lambda: [target.pid])
        place = buffers.types, Symbols(b""), OneCommand(target.pid), target.pid, 0, 0
        tracker = Tracker(*place, pointers=buffers.pointers)
        tracker.adopt(target.pid, scope)
        target.communicate("go\n", timeout=60)
        buffers.stop()
        while not buffers.drain(tracker):
            pass
        tracker.finish()
    finally:
        buffers.close()
        buffers.remove()
    assert probed is (buffers.types.scan is None)
    assert scope.proc_scanners == {"ls"}


def test_numbers_beyond_the_table_are_taken_for_followed() -> None:
    """pid_max was raised meanwhile: rather too much than too little."""
    with _read(numbers=1) as (followed, lookups):
        assert {1, 2} <= _looked_at(followed, lookups, LOOK)
