"""Readers of the memory behind pointers, at the call: lookups in /proc, masks of capset, ids of
containers, types of mounted file systems.

A lookup is a path below /proc that a thread opens, enters, stats or reads as a link. A program that
lists all processes may still look for one of them that its arguments name.
"""

import os
import re
import struct
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from capadvise.kernel import procfs, uapi
from capadvise.model.caps import CapSet, from_mask
from capadvise.observe.ftrace.bpf_probe import (
    FIRST,
    FOURTH,
    NAME_LENGTH,
    SECOND,
    THIRD,
    Followed,
    Probe,
    ProbeProgram,
)

_EXEC = "execve"
_PATHS = {
    **{"openat": SECOND, "readlink": FIRST, "readlinkat": SECOND},
    **dict.fromkeys(("chdir", "chroot", "mount"), FIRST),
    **{"stat": FIRST, "newfstatat": SECOND, "statx": SECOND},
}
"""Call, and which argument is the path. The C library makes these for all others (musl makes stat);
aarch64 has neither readlink nor stat."""
_FLAGS = {"newfstatat": FOURTH, "statx": THIRD}
_AT_SYMLINK_NOFOLLOW = 0x100
"""With this flag the call is about the link itself, which anybody may ask about."""
_CALLS = (_EXEC, *_PATHS)
_LISTING, _ENTERING = "openat", "chdir"
_WORDS, _LENGTH = 8, 16
"""How many arguments of a program are read, and how many bytes of each."""
_EXECUTED_LENGTH = 128
_RECORD = struct.Struct(f"<IIQQ{NAME_LENGTH}s{_EXECUTED_LENGTH + _WORDS * _LENGTH}s")
"""Thread, process, the number of the call, the time, the thread's name, and what was read: a path;
or, in place of the addresses of a program's arguments, its path, and they themselves but for the
first."""
_CALL_AT, _TIME_AT, _NAME_AT, _TEXT_AT = 8, 16, 24, 24 + NAME_LENGTH
_WORDS_AT = _TEXT_AT + _EXECUTED_LENGTH
_PATH_LENGTH = 48
_PROC = b"/proc"
_FOLDER = ("/proc", "/proc/")
_OWN_STATUS = b"/proc/self/status\0"
_PROCESSES = 4096
_OPTION = r"-{0,2}(?:[a-zA-Z]*[pq]|pids?|quick-pid)(?:=|$)|-[pq](?=\d)"
"""An option with numbers of processes: -p, p, --pid=, -q, -tp, as programs have it that list
processes (ps, top, pidstat, lsof)."""


_ACCESS_TIMES = r"--?[\w-]*atime"
"""An option about access times: tar --atime-preserve=system, rsync --open-noatime."""


class Lookup(NamedTuple):
    """A thread looks into a process, or executes a program."""

    thread: int
    name: str
    """The thread's name: the program that it executed last, cut short, or a name that it gave
    itself."""
    call: str
    path: bytes
    arguments: bytes
    """Those of its program. Some lookups belong to threads that are not followed: the caller
    filters them."""
    time: int = 0
    """In ns, by CLOCK_MONOTONIC."""
    executes: bytes = b""
    """The path of a program that it wants to execute, cut short."""

    @property
    def lists_processes(self) -> bool:
        """True if it opens the folder /proc itself, as a program does that lists all processes.
        Another program that looks into processes got their pids from its user."""
        return self.call == _LISTING and text(self.path) in _FOLDER

    @property
    def enters_folder(self) -> bool:
        """True if it enters the folder /proc, where it can open the folder as ``.``."""
        return self.call == _ENTERING and text(self.path) in _FOLDER

    @property
    def opens_a_status(self) -> bool:
        """True if it opens the status of a process, which shows its capabilities."""
        return self.call == _LISTING and self.place is not None and self.place[1] == "status"

    @property
    def opens_own_status(self) -> bool:
        """True if it opens /proc/self/status, which shows its capabilities."""
        return self.call == _LISTING and self.path.startswith(_OWN_STATUS)

    @property
    def place(self) -> tuple[int, str] | None:
        """The process, by its pid in the thread's own pid namespace, and the file, cut short:
        ``environ``, ``ns/uts``."""
        return parse(text(self.path))

    def names_process(self, pid: int) -> bool:
        """True if the arguments of its program name this process."""
        return pid in processes_named(words_of(self.arguments))

    @property
    def keeps_access_times(self) -> bool:
        """True if the executed program has an option about access times."""
        if self.call != _EXEC or b"atime" not in self.arguments:  # as nearly always
            return False
        return any(re.match(_ACCESS_TIMES, word) for word in words_of(self.arguments))


class ProcLookups(Probe):
    """Threads are those of the initial pid namespace."""

    def __init__(self, root: Path, followed: Followed | None = None) -> None:
        """``followed``: the threads that count; without it all do, and every program of this
        machine may look into /proc. Raises OSError as ``Probe``."""
        programs = {call: partial(_program_of_path, call, followed) for call in calls_of(root)}
        super().__init__(root, _RECORD, {_EXEC: _program_of_exec, **programs})
        self._arguments: dict[int, bytes] = {}
        """The arguments of each process's program."""

    def take(self) -> Iterator[Lookup]:
        """The lookups since the last call."""
        for thread, process, number, time_, name_, read_ in self.records():
            if _CALLS[number] == _EXEC:
                if len(self._arguments) >= _PROCESSES:
                    self._arguments.clear()
                self._arguments[process] = read_
            words = self._arguments.get(process, b"")
            call, places = _CALLS[number], (read_, b"")
            path, executes = (b"", read_[:_EXECUTED_LENGTH]) if call == _EXEC else places
            yield Lookup(thread, text(name_), call, path, words, time_, executes)


def calls_of(root: Path) -> list[str]:
    """The calls with a path that this kernel has; ``root`` is that of tracefs."""
    return [call for call in _PATHS if (root / "events/syscalls" / f"sys_enter_{call}").is_dir()]


def parse(path: str) -> tuple[int, str] | None:
    """Process and file of a path below /proc; None for others."""
    match = re.match(r"/proc/+(\d+)(?:/+task/+\d+)?/*(.*)", path, re.DOTALL)
    return (int(match[1]), match[2]) if match else None


def words_of(raw: bytes) -> Iterator[str]:
    """The arguments of a program, but for the first."""
    for at in range(_WORDS_AT - _TEXT_AT, len(raw), _LENGTH):
        yield text(raw[at : at + _LENGTH])


def processes_named(words: Iterable[str]) -> frozenset[int]:
    """The numbers that an option names as those of processes."""
    named: set[int] = set()
    follows = False
    for word in words:
        option = re.match(_OPTION, word)
        values = word[option.end() :] if option else word if follows else ""
        named |= {int(value) for value in re.findall(r"[0-9]{1,10}", values)}
        follows = option is not None and not values
    return frozenset(named)


def text(raw: bytes) -> str:
    """The text up to its NUL byte."""
    return raw.partition(b"\0")[0].decode(errors="replace")


def _program_of_path(call: str, followed: Followed | None, code: ProbeProgram) -> None:
    code.begin(clear=False)
    code.end_unless_followed(followed)
    if call in _FLAGS:
        code.end_unless_lacks(_FLAGS[call], _AT_SYMLINK_NOFOLLOW)
    # Most paths are not in /proc: reading a few bytes is cheaper than finding their end.
    code.read(_PATHS[call], _TEXT_AT, 8)
    code.end_unless_may_begin(_TEXT_AT, _PROC)
    code.read(_PATHS[call], _TEXT_AT, _PATH_LENGTH, text=True)
    code.end_unless_begins(_TEXT_AT, _PROC)
    code.end_unless_over_or_at_most(_TEXT_AT + len(_PROC), b"9", _TEXT_AT, _OWN_STATUS)
    code.clear(_TEXT_AT + _PATH_LENGTH, _RECORD.size)
    code.write_number(_CALL_AT, _CALLS.index(call))
    code.write_time(_TIME_AT)
    code.write_name(_NAME_AT)


def _program_of_exec(code: ProbeProgram) -> None:
    code.begin()
    code.read(SECOND, _TEXT_AT, 8 * (_WORDS + 1))
    for number in range(_WORDS):
        code.follow(_TEXT_AT + 8 * (number + 1), _WORDS_AT + _LENGTH * number, _LENGTH)
    code.read(FIRST, _TEXT_AT, _EXECUTED_LENGTH, text=True)
    code.write_name(_NAME_AT)


_CAPSET_RECORD = struct.Struct("<IIIi6I")
"""Thread, process, version of the header, error of reading, and what was read: effective,
permitted, inheritable, twice."""
_CAPSETS_KEPT = 4096
"""The most calls that are kept until they are taken: every process of this machine makes them."""


class CapsetArguments(Probe):
    """The permitted sets that capset(2) was asked for, by thread of the initial pid namespace. They
    are read at the call: /proc has forgotten them when a program ends."""

    def __init__(self, root: Path) -> None:
        """Raises OSError as ``Probe``."""
        super().__init__(root, _CAPSET_RECORD, {"capset": _program_of_capset})
        self._of: dict[int, deque[CapSet | None]] = {}
        self._kept = 0
        self._known = (2 << procfs.last_cap()) - 1
        """The kernel ignores the bits above: programs that fill both words alike set some."""
        self._unmatched: set[int] = set()
        """Threads with lost records: their calls cannot be matched any more; 0: all threads."""

    def take(self, tid: int) -> CapSet | None:
        """The permitted set of the oldest call of this thread that was not taken yet; None if it
        could not be read. The caller asks at the end of each call."""
        for thread, _, version, error, *masks in self.records():
            if self._kept >= _CAPSETS_KEPT:
                self._of.clear()
                self._kept = 0
            self._of.setdefault(thread, deque()).append(self._asked(version, error, masks))
            self._kept += 1
        self._unmatched |= self.lost().keys()
        waiting = self._of.get(tid)
        if self._unmatched & {0, tid} or not waiting:
            return None
        self._kept -= 1
        asked = waiting.popleft()
        if not waiting:
            del self._of[tid]
        return asked

    def _asked(self, version: int, error: int, masks: list[int]) -> CapSet | None:
        if error:
            return None
        high = 0 if version == uapi.LINUX_CAPABILITY_VERSION_1 else masks[4]
        return from_mask((masks[1] | high << 32) & self._known)


def _program_of_capset(code: ProbeProgram) -> None:
    code.begin()
    code.read(SECOND, 16, 24)
    code.write_error(12)
    code.read(FIRST, 8, 4)


_ID = 64
"""Letters of an id, of every engine."""
_PLACE = 4
"""The position of the id in the arguments: ``containerd-shim-runc-v2 -namespace N -id ID``,
``conmon --api-version 1 -c ID``. Other programs with a text of that length there are distinguished
by their names."""
_POINTERS_AT, _ID_AT = 8, 8 + 8 * (_PLACE + 1)
_ID_RECORD = struct.Struct(f"<II{_ID_AT - _POINTERS_AT}x{_ID}s8x")
"""Thread, process, where the arguments stand, and the id with its end."""
_IDS_KEPT = 4096
"""The most programs whose ids are kept: every one on this machine that has such an argument."""


class ContainerIds(Probe):
    """The container that each shim or conmon was started for, by its pid in the initial
    namespace. The id is read at the exec: a short container and its shim may be gone before we
    can read /proc."""

    def __init__(self, root: Path) -> None:
        """Raises OSError as ``Probe``."""
        super().__init__(root, _ID_RECORD, {"execve": _program_of_id})
        self._of: dict[int, str] = {}

    def of(self, pid: int) -> str | None:
        """The container that this process keeps, if it is a shim; None if that was not read."""
        for _, process, read_ in self.records():
            if len(self._of) >= _IDS_KEPT:
                self._of.clear()
            self._of[process] = read_.decode("ascii", errors="replace")
        return self._of.get(pid)


def _program_of_id(code: ProbeProgram) -> None:
    code.begin()
    code.read(SECOND, _POINTERS_AT, _ID_AT - _POINTERS_AT)
    code.follow(_POINTERS_AT + 8 * _PLACE, _ID_AT, _ID + 1)
    code.jump_if(0, "!=", _ID + 1, "end")  # the length of what was read, with its end


_SOCKET_LENGTH = 112
_SOCKET_RECORD = struct.Struct(f"<II{_SOCKET_LENGTH}s")
"""Thread, process, and the path, longer by its end than in sockaddr_un."""


class Sockets(Probe):
    """The local sockets that followed threads connect to."""

    def __init__(self, root: Path, followed: Followed | None) -> None:
        """Raises OSError as ``Probe``."""
        super().__init__(root, _SOCKET_RECORD, {"connect": partial(_program_of_connect, followed)})

    def take(self) -> Iterator[str]:
        """The paths since the last call; none of a socket without a name in a folder."""
        for _, _, raw in self.records():
            if path := raw.partition(b"\0")[0]:
                yield os.fsdecode(path)


def _program_of_connect(followed: Followed | None, code: ProbeProgram) -> None:
    code.begin()
    code.end_unless_followed(followed)
    code.read_path_of_socket(SECOND, 8, _SOCKET_LENGTH)


_TYPE_LENGTH = 32
_TYPE_RECORD = struct.Struct(f"<II{_TYPE_LENGTH}s")
"""Thread, process, and what was read."""
_TYPE_CALLS = {"mount": THIRD, "fsopen": FIRST}
"""Call, and which argument is the type."""


class FileSystems(Probe):
    """The types of the file systems that threads of the initial pid namespace mount: they decide
    where a mount is allowed."""

    def __init__(self, root: Path) -> None:
        """Raises OSError as ``Probe``."""
        programs = {call: partial(_program_of_type, at) for call, at in _TYPE_CALLS.items()}
        super().__init__(root, _TYPE_RECORD, programs)

    def take(self) -> Iterator[tuple[int, str]]:
        """(thread, type) of each call since the last time that names one."""
        for thread, _, raw in self.records():
            if name := text(raw):
                yield thread, name


def _program_of_type(argument: int, code: ProbeProgram) -> None:
    code.begin()
    code.read(argument, 8, _TYPE_LENGTH, text=True)
