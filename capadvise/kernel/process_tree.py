"""Killing a whole tree, and removing containers. Used by the guardian, and by the supervisor when
the guardian is gone."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable

from capadvise.kernel.own_cgroup import OwnCgroup


def descendants(root: int) -> list[int]:
    """Pids below a process, from /proc. Orphans stay below the nearest subreaper."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:
                parent = int(stat.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    pids: list[int] = []
    todo = [root]
    while todo:
        below = children.get(todo.pop(), [])
        pids += below
        todo += below
    return pids


def seen_below(root: int) -> list[int]:
    """As ``descendants``, for those who look again and again: its threads name their children, and
    nothing else of /proc is read. One that ends meanwhile can hide another from this look."""
    if not os.path.exists("/proc/thread-self/children"):  # without CONFIG_PROC_CHILDREN
        return descendants(root)
    pids: list[int] = []
    todo = [root]
    while todo:
        below = _children(todo.pop())
        pids += below
        todo += below
    return pids


def _children(pid: int) -> list[int]:
    children: list[int] = []
    with contextlib.suppress(OSError):  # it has ended
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children") as file:
                children += map(int, file.read().split())
    return children


def kill_descendants(reap: Callable[[], bool], cgroup: OwnCgroup | None = None) -> None:
    """Kill all descendants of this process until ``reap`` (False: there is none) says so, and what
    is in a group, which is removed then.

    What is there after the first time may fork faster than it is killed: from then on all are
    stopped first. Not at once: if we are killed in between, what is stopped stays.
    """
    if cgroup is not None:
        cgroup.kill()
    numbers = [signal.SIGKILL]
    while reap():
        for number in numbers:
            for pid in descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        time.sleep(0.002)
        numbers = [signal.SIGSTOP, signal.SIGKILL]
    if cgroup is not None:
        cgroup.end()


def reap_all() -> bool:
    """Collect what has ended, whatever it was; False when no child is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def remove_containers(sweep: Iterable[list[list[str]]], pause: float = 0.0) -> None:
    """The containers of the recording, which have every capability: those that the engine
    lists, and once more for one that was just being made. ``sweep``: pairs of commands, that which
    lists them and the start of that which removes them. ``pause``: seconds in between, where a
    client was killed in the middle of its work and the engine may still be busy with it."""
    commands = list(sweep)
    for seconds in (0.0, pause if commands else 0.0):
        time.sleep(seconds)
        for listing, removal in commands:
            if ids := _output_of(listing).split():
                _output_of([*removal, *ids])


def _output_of(argv: list[str]) -> str:
    """What a command prints; empty when it cannot be run."""
    import subprocess  # here, for the sake of the start-up of every other run

    try:
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
