"""Which types of file systems a thread mounts: they decide where it may, and a trace has only the
address of the text."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from capadvise.observe.ftrace.bpf_probe import FIRST, THIRD, Maps, Probe, begin, push, read

_LENGTH = 32
_RECORD = struct.Struct(f"<II{_LENGTH}s")
"""Thread, process, and what was read."""
_CALLS = {"mount": THIRD, "fsopen": FIRST}
"""Call, and which argument is the type."""


class FileSystems:
    """Threads of the initial pid namespace."""

    def __init__(self, root: Path) -> None:
        """Raises OSError as ``Probe``."""
        programs = {call: partial(_program, at) for call, at in _CALLS.items()}
        self.probe = Probe(root, _RECORD.size, programs)

    def take(self) -> Iterator[tuple[int, str]]:
        """(thread, type) of each call since the last time that names one."""
        for record in self.probe.records():
            thread, _, raw = _RECORD.unpack(record)
            if name := raw.partition(b"\0")[0].decode(errors="replace"):
                yield thread, name


def _program(argument: int, maps: Maps) -> bytes:
    size = _RECORD.size
    code = [*begin(size), *read(size, argument, 8, _LENGTH, text=True)]
    return b"".join([*code, *push(size, maps)])
