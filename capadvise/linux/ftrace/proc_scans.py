"""Which threads list the processes of the machine: they open the folder /proc itself.

Who does not, and looks into processes all the same, was told which ones.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from capadvise.linux.ftrace.bpf_probe import SECOND, Probe, begin, only_if, push, read

_RECORD = struct.Struct("<II8s")
"""Thread, process, and how the path begins."""
_PATHS = tuple(int.from_bytes(path.ljust(8, b"\0"), "little") for path in (b"/proc", b"/proc/"))


class ProcScans:
    """Threads of the initial pid namespace."""

    def __init__(self, root: Path) -> None:
        """Raises OSError as ``Probe``."""
        self.probe = Probe(root, "openat", _RECORD.size, _program)

    def threads(self) -> Iterator[int]:
        """Those that began to list since the last time."""
        for record in self.probe.records():
            yield _RECORD.unpack(record)[0]


def _program(queue: int) -> bytes:
    size = _RECORD.size
    code = [*begin(size), *read(size, SECOND, 8, 8, text=True), *only_if(size, 8, _PATHS)]
    return b"".join([*code, *push(size, queue)])
