"""Running a command and seeing every capability check that it causes.

The order of things: buffers ready, target started and held, its pid followed, then its exec.
Reading goes on until the last process of the tree is gone; what is left of the tree when the
recording ends is killed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from capadvise.kernel import own_caps
from capadvise.model.errors import CannotObserve
from capadvise.observe.ftrace.instances import require
from capadvise.observe.supervise import target_cgroup
from capadvise.observe.supervise.command import Command, user_of
from capadvise.observe.supervise.observation import Observation
from capadvise.observe.supervise.session import Tracing, session

if TYPE_CHECKING:
    from capadvise.observe.ftrace.kallsyms import Reading
    from capadvise.observe.supervise.onlooker import Onlooker


def observe(
    command: Command,
    meanwhile: Callable[[], object] = lambda: None,
    *,
    onlooker: Onlooker | None = None,
    table: Reading | None = None,
    seen: Callable[[Observation], object] = lambda _: None,
) -> Observation:
    """Run a command to its end and return what was seen.

    ``meanwhile`` is called in another thread, for work that will be needed afterwards.
    ``onlooker`` is called between two rounds of reading. ``table``: the kernel's symbols, if they
    are being read. ``seen`` is told as soon as the command has ended; the kernel takes a while to
    remove the trace buffers.
    Raises CannotObserve or CannotStart when nothing ran.
    """
    user = user_of(command.user, command.groups) if command.user else None
    listener = None
    if command.retry:
        from capadvise.observe.retry.mode import listener as make_listener

        listener = make_listener(command.retry)
    with (
        target_cgroup.made() as cgroup,
        session(
            command,
            user=user,
            listener=listener,
            cgroup=cgroup,
            tracing=None if command.unobserved else Tracing(table=table),
            meanwhile=meanwhile,
        ) as ready,
    ):
        from capadvise.observe.supervise.held import HeldCommand  # the kernel makes the buffers

        held = HeldCommand.read(ready.held)
        ready.made.result()  # or raises, while we have all capabilities
        own_caps.keep()
        released = ready.release(_load)
        from capadvise.observe.supervise.record_command import follow  # loaded by now

        observation = follow(ready, command, user, held, onlooker, released)
        seen(observation)
        return observation


def choose(command: Command) -> tuple[Command, str | None]:
    """How to look at a command here: the command with ``retry`` and ``unobserved`` settled, and
    why retries alone are used where that was not asked for.

    Raises CannotObserve where nothing can be done.
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
