"""The audit records of this boot, as this machine keeps them: auditd's files, else the journal,
else the kernel's own buffer of messages."""

import os
import subprocess
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from capadvise.kernel.procfs import boot_time
from capadvise.observe.audit.records import MAX_LINE, Record, parse_lines

_FOLDER, _MESSAGES = Path("/var/log/audit"), Path("/dev/kmsg")
_JOURNAL = ("journalctl", "--boot", "--quiet", "--no-pager", "--output=short-unix")
_MOST = 100_000
"""The most records that are read, the latest ones: 200 MB."""


class AuditLog(NamedTuple):
    """Records, and what they were read from."""

    place: str
    records: tuple[Record, ...]


def since_boot(before: float) -> AuditLog | None:
    """The records since the boot and before a time, in seconds since 1970; None if nothing keeps
    records."""
    booted = boot_time()
    for place, lines in (
        (str(_FOLDER), _of_files()),
        ("the journal", _of_journal()),
        ("the kernel's messages", _of_kernel()),
    ):
        records = deque(
            (
                record
                for record in parse_lines(lines)
                if booted <= (record.time or booted) < before
                and (record.type != "SYSCALL" or record.fields.get("success") != "yes")
            ),
            maxlen=_MOST,
        )
        if records:
            return AuditLog(place, tuple(records))
    return None


def _of_files() -> Iterator[str]:
    """The lines of auditd's files, the oldest first: each is renamed to a higher number."""
    paths = []
    with suppress(OSError):
        booted = boot_time()
        paths = [path for path in _FOLDER.glob("audit.log*") if path.stat().st_mtime >= booted]
    for path in sorted(paths, key=_age, reverse=True):
        with suppress(OSError), path.open(encoding="utf-8", errors="backslashreplace") as file:
            while line := file.readline(MAX_LINE):
                yield line


def _age(path: Path) -> int:
    number = path.suffix.removeprefix(".")
    return int(number) if number.isdecimal() else 0


def _of_journal() -> Iterator[str]:
    """The records that journald received itself, else those among the kernel's messages."""
    for transport in "audit", "kernel":
        lines = []
        with suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(
                [*_JOURNAL, f"--lines={_MOST}", f"_TRANSPORT={transport}"],
                capture_output=True,
                timeout=60,
                check=False,
            )
            lines = done.stdout.decode(errors="backslashreplace").splitlines()
        records = [line for line in lines if "audit" in line]
        if records:
            yield from records
            return


def _of_kernel() -> Iterator[str]:
    """A line for each message that the kernel still has."""
    try:
        fd = os.open(_MESSAGES, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    with os.fdopen(fd, "rb", buffering=0) as file:
        while True:
            try:
                message = file.read(MAX_LINE)
            except BrokenPipeError:  # the next one was overwritten during the read
                continue
            except OSError:
                return
            if not message:  # there is no more
                return
            yield message.decode(errors="backslashreplace").partition("\n")[0]
