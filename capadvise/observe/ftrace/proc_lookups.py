"""Which processes a thread looks into in /proc: paths that it opens, goes into or asks about, and
links that it reads; and who lists them all.

A program that lists all processes may have been told of one of them anyway, in its arguments.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from capadvise.observe.ftrace.bpf_probe import (
    FIRST,
    FOURTH,
    NAME_LENGTH,
    SECOND,
    THIRD,
    Followed,
    Maps,
    Probe,
    begin,
    begin_uncleared,
    clear,
    follow,
    name,
    note,
    only_if_begins,
    only_if_followed,
    only_if_lacks,
    only_if_may_begin,
    only_if_over_or_at_most,
    push,
    read,
    time,
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
"""So many arguments of a program are read, and so many bytes of each."""
_RECORD = struct.Struct(f"<IIQQ{NAME_LENGTH}s{8 * (_WORDS + 1) + _WORDS * _LENGTH}s")
"""Thread, process, the number of the call, the time, the thread's name, and what was read: a path;
or where the arguments of a program stand, and they themselves but for the first."""
_CALL_AT, _TIME_AT, _NAME_AT, _TEXT_AT = 8, 16, 24, 24 + NAME_LENGTH
_WORDS_AT = _TEXT_AT + 8 * (_WORDS + 1)
_PATH_LENGTH = 48
_PROC = b"/proc"
_FOLDER = ("/proc", "/proc/")
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
    """Of the thread: what it has executed last, cut short, or what it has called itself."""
    call: str
    path: bytes
    arguments: bytes
    """Those of its program. Of both, some belong to threads that nobody follows: they are looked
    into by who asks."""
    time: int = 0
    """In ns, by CLOCK_MONOTONIC."""

    @property
    def lists_processes(self) -> bool:
        """To list all processes is to open the folder /proc itself. Who does not, and looks into
        processes anyway, was told which ones."""
        return self.call == _LISTING and text(self.path) in _FOLDER

    @property
    def enters_folder(self) -> bool:
        """Whether it goes into the folder /proc, where it can open the folder by another name."""
        return self.call == _ENTERING and text(self.path) in _FOLDER

    @property
    def place(self) -> tuple[int, str] | None:
        """The process, as the thread sees it: in its own pid namespace. And the file, as far as it
        was read: ``environ``, ``ns/uts``."""
        return parse(text(self.path))

    def is_told_of(self, pid: int) -> bool:
        """Whether the number stands among the arguments of its program."""
        return pid in processes_named(words_of(self.arguments))

    @property
    def is_told_of_access_times(self) -> bool:
        """Whether the program that is executed has an option about them."""
        if self.call != _EXEC or b"atime" not in self.arguments:  # as nearly always
            return False
        return any(re.match(_ACCESS_TIMES, word) for word in words_of(self.arguments))


class ProcLookups:
    """Threads of the initial pid namespace."""

    def __init__(self, root: Path, followed: Followed | None = None) -> None:
        """``followed``: who counts; without, all do, and any program of this machine may look into
        /proc. Raises OSError as ``Probe``."""
        programs = {call: partial(_program_of_path, call, followed) for call in calls_of(root)}
        self.probe = Probe(root, _RECORD.size, {_EXEC: _program_of_exec, **programs})
        self._arguments: dict[int, bytes] = {}
        """Of the program of each process."""

    def take(self) -> Iterator[Lookup]:
        """Those since the last time."""
        for record in self.probe.records():
            thread, process, number, time_, name_, read_ = _RECORD.unpack(record)
            if _CALLS[number] == _EXEC:
                if len(self._arguments) >= _PROCESSES:
                    self._arguments.clear()
                self._arguments[process] = read_
            path = b"" if _CALLS[number] == _EXEC else read_
            words = self._arguments.get(process, b"")
            yield Lookup(thread, text(name_), _CALLS[number], path, words, time_)


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
    """Up to its end."""
    return raw.partition(b"\0")[0].decode(errors="replace")


def _program_of_path(call: str, followed: Followed | None, maps: Maps) -> bytes:
    size = _RECORD.size
    code = [*begin_uncleared(size)]
    code += only_if_followed(size, followed.table) if followed else ()
    code += only_if_lacks(_FLAGS[call], _AT_SYMLINK_NOFOLLOW) if call in _FLAGS else ()
    # Most paths are not in /proc: to read a few bytes of them takes less than to find their end.
    code += [*read(size, _PATHS[call], _TEXT_AT, 8), *only_if_may_begin(size, _TEXT_AT, _PROC)]
    code += [*read(size, _PATHS[call], _TEXT_AT, _PATH_LENGTH, text=True)]
    code += only_if_begins(size, _TEXT_AT, _PROC)
    code += only_if_over_or_at_most(size, _TEXT_AT + len(_PROC), b"9")
    code += clear(size, _TEXT_AT + _PATH_LENGTH, size)
    code += [*note(size, _CALL_AT, _CALLS.index(call)), *time(size, _TIME_AT)]
    code += name(size, _NAME_AT)
    return b"".join([*code, *push(size, maps)])


def _program_of_exec(maps: Maps) -> bytes:
    size = _RECORD.size
    code = [*begin(size), *read(size, SECOND, _TEXT_AT, 8 * (_WORDS + 1))]
    for number in range(_WORDS):
        pointer = _TEXT_AT + 8 * (number + 1)
        code += follow(size, pointer, _WORDS_AT + _LENGTH * number, _LENGTH)
    return b"".join([*code, *name(size, _NAME_AT), *push(size, maps)])
