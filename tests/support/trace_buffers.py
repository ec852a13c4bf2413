"""The trace buffers of one capadvise, as the kernel tells of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from capadvise.observe.ftrace import tracefs


@contextmanager
def all_instances() -> Iterator[Path]:
    """The folder of everybody's."""
    root = tracefs.find()
    try:
        yield root / "instances"
    finally:
        if root.parent == Path("/proc/self/fd"):
            os.close(int(root.name))


def instances(pid: int) -> list[str]:
    """Names of those that are there."""
    with all_instances() as folder:
        return [path.name for path in folder.glob(f"{tracefs.PREFIX}{pid}-*")]


def unread(pid: int) -> int:
    """How many events nobody has read yet."""
    return _counted(f"{tracefs.PREFIX}{pid}-*", "entries")


def overwritten(pid: int) -> int:
    """How many events have made room for later ones; not those that come in floods."""
    return _counted(f"{tracefs.PREFIX}{pid}-*-quiet", "overrun")


def _counted(names: str, what: str) -> int:
    with all_instances() as folder:
        texts = [path.read_text() for path in folder.glob(f"{names}/per_cpu/cpu*/stats")]
    assert texts, names
    pairs = [line.partition(":") for text in texts for line in text.splitlines()]
    return sum(int(value) for key, _, value in pairs if key == what)
