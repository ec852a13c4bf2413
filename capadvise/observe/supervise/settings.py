"""The changes that a target makes to the machine itself: to files of the kernel, to control groups;
in a trial also to files outside of it, by ``/proc/PID/root``. Nothing keeps a trial from that.

fanotify tells all writes to these file systems and mounts; those of the target's own processes
count.
"""

import os
import re
import struct
from collections.abc import Container, Iterator
from contextlib import suppress
from pathlib import Path

from capadvise.kernel import libc, uapi
from capadvise.kernel.posture.mounts import Mount, parse_mounts

_GROUPS = "/sys/fs/cgroup"
_WATCHED = frozenset(
    [
        *("proc", "sysfs", "cgroup", "cgroup2", "debugfs", "securityfs", "configfs", "efivarfs"),
        *("binfmt_misc", "selinuxfs"),
    ]
)
_NO_FILES = _WATCHED | {"devtmpfs", "devpts", "nsfs", "mqueue", "tracefs", "bpf", "autofs"}
_OWN = re.compile(
    r"/proc/(\d+|sys/net|sys/fs/mqueue|sys/kernel/(hostname|domainname|shm\w*|msg\w*|sem\w*))(/|$)"
    r"|.*/capadvise-\d"
)
"""Files of processes and of a trial's own namespaces, and control groups of ours."""
_EVENT = struct.Struct("=IBBHQii")
"""struct fanotify_event_metadata"""
_FOLDER = struct.Struct("=12xI4xQ")
"""The rest of the event of a new entry: the head of the record, the file system's id, and a handle
of the folder: its length, and in the file systems of control groups its inode; then the name."""
_HANDLE_AT = 20


class Settings:
    """Sees changes from now on; where the kernel lacks fanotify, none."""

    def __init__(self, outside: int | None) -> None:
        """``outside``: a process in whose mounts the target has nothing to change."""
        mounts = _mounts("self")
        written = {one.target for one in mounts if one.type in _WATCHED}
        made = {one.target for one in mounts if f"{one.target}/".startswith(f"{_GROUPS}/")}
        self.own_group = 0
        """The inode of the target's own control group."""
        self._places = {os.stat(place).st_dev: place for place in written if os.path.exists(place)}
        self._opened: list[int] = []
        with suppress(OSError):
            kind, new = uapi.FAN_MARK_FILESYSTEM, uapi.FAN_CREATE | uapi.FAN_ONDIR
            # Some files of the kernel cannot be opened for reading.
            self._opened.append(libc.fanotify(written, kind, uapi.FAN_MODIFY, how=os.O_WRONLY))
            self._opened.append(libc.fanotify(made, kind, new, names=True))
            if outside is not None:
                files = [one.target for one in _mounts(outside) if one.type not in _NO_FILES]
                files = [f"/proc/{outside}/root{target}" for target in files]
                closed = uapi.FAN_CLOSE_WRITE
                self._opened.append(libc.fanotify(files, uapi.FAN_MARK_MOUNT, closed))

    def changed(self, pids: Container[int]) -> tuple[str, ...]:
        """The files and groups that these processes have changed."""
        changes = [item for fd in self._opened for item in self._changes(fd)]
        return tuple(dict.fromkeys(name for pid, name in changes if pid in pids))

    def close(self) -> None:
        """See nothing more."""
        for fd in self._opened:
            os.close(fd)

    def _changes(self, source: int) -> Iterator[tuple[int, str]]:
        """Process and file of each event."""
        for fd, pid, event in _events(source):
            if fd < 0:
                length, folder = _FOLDER.unpack_from(event)
                if folder != self.own_group:
                    name = event[_HANDLE_AT + length :].partition(b"\0")[0]
                    yield pid, f"a control group {os.fsdecode(name)}"
                continue
            path = os.readlink(f"/proc/self/fd/{fd}")
            place = self._places.get(os.fstat(fd).st_dev, "")
            os.close(fd)
            if not path.startswith(f"{place}/"):  # through a mount that is not ours
                path = f"{place}{path}"
            if not _OWN.match(path):
                yield pid, path


def _mounts(pid: int | str) -> tuple[Mount, ...]:
    return parse_mounts(Path(f"/proc/{pid}/mountinfo").read_text(errors="surrogateescape"))


def _events(source: int) -> Iterator[tuple[int, int, bytes]]:
    """Open file or -1, process, and what follows."""
    while True:
        try:
            data = os.read(source, 1 << 16)
        except BlockingIOError:
            return
        except OSError:  # the file of the next event is gone, with the control group it was in
            continue
        while data:
            length, _, _, head, _, fd, pid = _EVENT.unpack_from(data)
            if fd >= 0 or length > head + _FOLDER.size:  # else the queue was full
                yield fd, pid, data[head:length]
            data = data[length:]
