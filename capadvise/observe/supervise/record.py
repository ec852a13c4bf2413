"""Running a command and seeing every capability check that it causes.

The order of steps: buffers ready, target started and held, its pid followed, then its exec. Reading
goes on until the last process of the tree is gone; processes that are left when the recording ends
are killed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from capadvise.kernel import libc, own_caps, procfs
from capadvise.kernel.process_tree import OwnCgroup
from capadvise.model.errors import CannotObserve
from capadvise.observe.ftrace.instances import require
from capadvise.observe.supervise.command import Command, user_of
from capadvise.observe.supervise.observation import Observation
from capadvise.observe.supervise.session import Tracing, session

if TYPE_CHECKING:
    from capadvise.observe.ftrace.kallsyms import Reading
    from capadvise.observe.supervise.event_loop import Onlooker
    from capadvise.observe.supervise.settings import Settings


def observe(
    command: Command,
    meanwhile: Callable[[], object] = lambda: None,
    *,
    onlooker: Onlooker | None = None,
    table: Reading | None = None,
    seen: Callable[[Observation], object] = lambda _: None,
) -> Observation:
    """Run a command to its end and return what was seen.

    ``meanwhile`` is called in another thread, for results that are needed later. ``onlooker`` is
    called between two rounds of reading. ``table``: the kernel's symbols, if they are being read.
    ``seen`` is called as soon as the command has ended; the kernel takes a while to remove the
    trace buffers. Raises CannotObserve or CannotStart when nothing ran.
    """
    user = user_of(command.user, command.groups) if command.user else None
    listener = None
    if command.retry:
        from capadvise.observe.retry.mode import listener as make_listener

        listener = make_listener(command.retry)
    with (
        own_group() as make_group,
        _settings(command) as settings,
        session(
            command,
            user=user,
            listener=listener,
            own_group=lambda: _noted(make_group(), settings),
            tracing=None
            if command.unobserved
            else Tracing(table=table, sockets=command.outside is not None),
            meanwhile=meanwhile,
        ) as ready,
    ):
        from capadvise.observe.supervise.held import HeldCommand  # the kernel makes the buffers

        held = HeldCommand.read(ready.held)
        ready.made.result()  # or raises, while we have all capabilities
        own_caps.keep()
        released = ready.release(_load)
        from capadvise.observe.supervise.record_command import follow  # loaded by now

        observation = follow(ready, command, user, held, onlooker, released, settings)
        seen(observation)
        return observation


@contextlib.contextmanager
def _settings(command: Command) -> Iterator[Settings | None]:
    if not command.settings_count:
        yield None
        return
    from capadvise.observe.supervise.settings import Settings  # most runs do without

    settings = Settings(command.outside)
    try:
        yield settings
    finally:
        settings.close()


def _noted(group: OwnCgroup | None, settings: Settings | None) -> OwnCgroup | None:
    if group is not None and settings is not None:
        settings.own_group = os.stat(group.name, dir_fd=group.parent).st_ino
    return group


def choose(command: Command) -> tuple[Command, str | None]:
    """How to observe a command here: the command with ``retry`` and ``unobserved`` decided, and the
    reason if it uses only retries though the user did not ask for that.

    Raises CannotObserve if nothing can be observed.
    """
    try:
        root = require()
    except CannotObserve as error:
        try:
            _require_retry()
        except CannotObserve as other:
            raise error from other
        return replace(command, retry=command.retry or "auto", unobserved=True), str(error)
    if root.parent == Path("/proc/self/fd"):
        os.close(int(root.name))
    if command.retry is not None:
        _require_retry()
    return command, None


def _require_retry() -> None:
    from capadvise.observe.retry.mode import require_retry  # most runs do without

    require_retry()


def _load() -> None:
    import capadvise.observe.supervise.record_command  # noqa: F401 - no target waits for it


_PREFIX = "capadvise-"
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


@contextlib.contextmanager
def own_group() -> Iterator[Callable[[], OwnCgroup | None]]:
    """Makes a control group for one target, ended and removed with the block; None if none can be
    made.

    It has version 2, whose one hierarchy exists beside those of version 1, too. It is below our
    own group, so that the target has the same limits as without us. If none can be made (no root, a
    container, a read-only file system), the target stays in ours: then a process that another pid
    namespace adopted is not found.
    """
    try:
        parent = _open_own()
    except OSError:
        yield lambda: None
        return
    made: list[OwnCgroup] = []

    def make() -> OwnCgroup | None:
        with contextlib.suppress(OSError):
            made.append(_make(parent, name))
        return made[0] if made else None

    try:
        name = _name(parent)
        yield make
    finally:
        for cgroup in made:
            cgroup.end()
            os.close(cgroup.events)
        os.close(parent)


def _name(parent: int) -> str:
    """The name of a new group, after those of killed processes are removed."""
    # A pid means a process only in its own namespace, and a group can be seen from several.
    namespace = f"-{os.stat('/proc/self/ns/pid').st_ino}"
    for left in procfs.abandoned(Path(f"/proc/self/fd/{parent}"), _PREFIX):
        if left.name.endswith(namespace):
            with contextlib.suppress(OSError):
                group = OwnCgroup(parent, left.name)
                group.end()
                os.close(group.events)
    return f"{_PREFIX}{procfs.mark()}{namespace}"


def _make(parent: int, name: str) -> OwnCgroup:
    os.mkdir(name, 0o755, dir_fd=parent)
    return OwnCgroup(parent, name)


def _open_own() -> int:
    lines = procfs.cgroup(os.getpid()).splitlines()
    place = next((line[4:] for line in lines if line.startswith("0::/")), None)
    if place is None:
        raise FileNotFoundError("no control groups of version 2")
    if (point := _mount_point()) is not None:
        return os.open(f"{point}/{place}", _FOLDER)
    mount = libc.mount_detached("cgroup2")  # only where there is none: it would set its options
    try:
        return os.open(place or ".", _FOLDER, dir_fd=mount)
    finally:
        os.close(mount)


def _mount_point() -> str | None:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            mount, _, kind = line.partition(" - ")
            fields = mount.split()
            if kind.startswith("cgroup2 ") and fields[3] == "/":
                return fields[4]
    return None
