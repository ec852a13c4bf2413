"""Killing a whole tree of processes, and removing containers: by the guardian, or by the supervisor
if the guardian is gone. The standard library alone, for the launcher's sake."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable

_EMPTYING_SECONDS = 5.0
"""Seconds for what was killed to be gone."""


class OwnCgroup:
    """The control group of a target, below our own: all in it are found and killed, no matter
    which process has adopted them."""

    def __init__(self, parent: int, name: str) -> None:
        """``parent``: a descriptor of our own group: the target can mount over its path. Raises
        OSError where it is none."""
        self.parent, self.name = parent, name
        self._folder = f"/proc/self/fd/{parent}/{name}"
        self.events = os.open(f"{self._folder}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        """``select`` calls it exceptional when ``populated`` changes."""

    def join(self) -> None:
        """Move this process into it. A failure is ignored: only the group's advantages are lost."""
        with contextlib.suppress(OSError):
            self._write("cgroup.procs", "0")

    def populated(self) -> bool:
        """True if a process is in it, or in a group below it."""
        try:
            return b"populated 1" in os.pread(self.events, 4096, 0)
        except OSError:  # it was removed
            return False

    def pids(self) -> list[int]:
        """The processes in it, without those of pid namespaces that we do not see."""
        pids: list[int] = []
        for folder, _, _ in os.walk(self._folder):
            with contextlib.suppress(OSError), open(f"{folder}/cgroup.procs") as file:
                pids += [pid for line in file if (pid := int(line))]
        return pids

    def kill(self) -> None:
        """SIGKILL to all that is in it."""
        try:
            self._write("cgroup.kill", "1")
        except OSError:  # before Linux 5.14
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in self.pids():
                    with contextlib.suppress(OSError):
                        os.kill(pid, number)

    def end(self) -> None:
        """Kill the processes in it, and remove it."""
        end = time.monotonic() + _EMPTYING_SECONDS
        while self.populated() and time.monotonic() < end:
            self.kill()
            time.sleep(0.002)
        for folder, _, _ in os.walk(self._folder, topdown=False):
            with contextlib.suppress(OSError):
                try:
                    os.rmdir(folder)
                except PermissionError:  # a folder of the caller's: what is executed may do it
                    import subprocess  # rarely, and it takes its time

                    subprocess.run(
                        ["rmdir", folder], pass_fds=[self.parent], stderr=subprocess.DEVNULL
                    )

    def _write(self, name: str, text: str) -> None:
        fd = os.open(f"{self._folder}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)


def descendants(root: int) -> list[int]:
    """Pids below a process, from /proc. Orphans stay below the nearest subreaper."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:
                parent = int(stat.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    return _all_below(root, lambda pid: children.get(pid, []))


def seen_below(root: int) -> list[int]:
    """Like ``descendants``, but cheap enough for repeated calls: reads only the lists of children
    of each thread. A process that ends during the call can hide another."""
    if not os.path.exists("/proc/thread-self/children"):  # without CONFIG_PROC_CHILDREN
        return descendants(root)
    return _all_below(root, _children)


def _all_below(root: int, children: Callable[[int], list[int]]) -> list[int]:
    pids: list[int] = []
    todo = [root]
    while todo:
        below = children(todo.pop())
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

    A process that survives the first round may fork faster than we kill: from the second round on,
    all are stopped first. The first round does not stop: if we were killed in between, stopped
    processes would stay.
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
    """Reap all children that have ended; False if no child is left."""
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
    """The output of a command; empty if it cannot be run."""
    import subprocess  # here, for the sake of the start-up of every other run

    try:
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
