"""Removing trace instances and probes, after a supervisor that may have been killed."""

import contextlib
import os
import time
from collections.abc import Iterable

BUSY = 10.0
"""Seconds. Buffers are busy until the kernel has closed the files of a killed supervisor, which can
be later than its pipe."""


def remove_instances(folders: Iterable[str], patience: float = BUSY) -> None:
    """Remove trace buffers."""
    for folder in folders:
        end = time.monotonic() + patience
        while os.path.isdir(folder) and not _removed(folder) and time.monotonic() < end:
            time.sleep(0.05)


def _removed(folder: str) -> bool:
    try:
        with open(f"{folder}/set_event", "w"):
            pass  # opening it for writing clears it
        os.rmdir(folder)
    except OSError:
        return False
    return True


def remove_probes(root: str, names: Iterable[str]) -> None:
    """Remove probes. One that other runs share is busy until the last of them ends."""
    for name in names:
        # For appending: to truncate the file removes everybody's probes.
        with contextlib.suppress(OSError):
            fd = os.open(f"{root}/dynamic_events", os.O_WRONLY | os.O_APPEND)
            try:
                os.write(fd, f"-:{name}".encode())
            finally:
                os.close(fd)
