"""The pure parts of copies: what is watched, what a copy may do, what is tried, what is counted."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import socket
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from capadvise.catalog import default
from capadvise.linux.copies import numbers, watched
from capadvise.linux.copies.client import Copies
from capadvise.linux.copies.free import is_free
from capadvise.linux.copies.limits import TryLimits
from capadvise.linux.copies.mode import why_not
from capadvise.linux.copies.steps import CopyCall, Fate, Ruling, ruling
from capadvise.linux.copies.thread import CopiedThread
from capadvise.linux.ftrace.event_order import Event, Noise
from capadvise.linux.kernel import procfs
from capadvise.linux.kernel.seccomp_program import FIRST_X32
from capadvise.reaction import Reaction
from tests.support import bpf
from tests.support.recordings import recording

SYSCALLS = default().syscalls.numbers["x86_64"]
IOCTL, SETSOCKOPT, PRLIMIT = (SYSCALLS[name] for name in ("ioctl", "setsockopt", "prlimit64"))
SIOCSIFFLAGS, TCGETS = 0x8914, 0x5401
ABOVE = 1 << 32
"""A bit of the upper half of a register."""


def six(*args: int) -> tuple[int, ...]:
    """All registers of a call."""
    return (*args, *(0,) * (6 - len(args)))


# ------------------------------------------------------------------------------ what is watched


def test_the_numbers_are_those_of_the_catalog() -> None:
    assert {name: SYSCALLS[name] for name in watched.NUMBERS} == watched.NUMBERS
    assert set(watched.FAMILY) == set(watched.NUMBERS)


@pytest.mark.parametrize(
    ("number", "args", "name"),
    [
        (SYSCALLS["fchown"], (), "fchown"),
        (SYSCALLS["fchownat"], (), "fchownat"),
        (SYSCALLS["read"], (), None),
        (SYSCALLS["setuid"], (), "setuid"),
        (SYSCALLS["bind"], (), "bind"),
        (SYSCALLS["capset"], (), None),
        (SYSCALLS["execve"], (), None),
        (IOCTL, (3, SIOCSIFFLAGS), "ioctl"),
        (IOCTL, (3, SIOCSIFFLAGS | ABOVE), "ioctl"),
        (IOCTL, (SIOCSIFFLAGS, TCGETS), None),
        (SETSOCKOPT, (3, socket.SOL_SOCKET, socket.SO_MARK), "setsockopt"),
        (SETSOCKOPT, (3, socket.SOL_SOCKET | ABOVE, socket.SO_MARK | ABOVE), "setsockopt"),
        (SETSOCKOPT, (3, socket.SOL_SOCKET, socket.SO_REUSEADDR), None),
        (SETSOCKOPT, (3, socket.SOL_IP, socket.SO_MARK), None),
        (SETSOCKOPT, (3, socket.SOL_IP, 19), "setsockopt"),  # IP_TRANSPARENT
        (PRLIMIT, (0, 3, 0, 0x7FFC00000000), None),
        (PRLIMIT, (0, 3, 0x7FFC00000000), "prlimit64"),
        (PRLIMIT, (0, 3, ABOVE), "prlimit64"),
        (-1 & 0xFFFFFFFF, (), None),
    ],
)
def test_calls_that_are_watched(number: int, args: tuple[int, ...], name: str | None) -> None:
    assert watched.watched(number, six(*args)) == name


def calls() -> Iterator[tuple[int, tuple[int, ...]]]:
    """Every call of the catalog, and calls that differ in the arguments that are looked at."""
    for number in SYSCALLS.values():
        yield number, six()
        yield number, six(36)  # PR_SET_CHILD_SUBREAPER
    values = (0, 1, 2, 12, 19, 36, 41, 62, 69, 75, TCGETS, SIOCSIFFLAGS, 0x8946, 0x89B0, ABOVE)
    for number in (IOCTL, SETSOCKOPT, PRLIMIT):
        for first in values:
            for second in values:
                yield number, six(3, first, second)
                yield number, six(3, first | ABOVE, second | ABOVE)


def test_the_filter_asks_about_what_is_watched_and_about_nothing_else() -> None:
    code = watched.program()
    for number, args in calls():
        asked = bpf.answer(code, number, args)
        is_watched = watched.watched(number, args) is not None or watched.adopts(number, args)
        assert asked == (bpf.NOTIFY if is_watched else bpf.ALLOW), (number, args)


def test_the_names_of_calls_are_those_of_the_catalog() -> None:
    """And a copy knows every call that it may make."""
    known = {name: SYSCALLS[name] for name in numbers.NAMES.values()}
    assert known == {name: number for number, name in numbers.NAMES.items()}
    assert set(REVIEWED.split()) <= set(known)


@pytest.mark.parametrize("name", sorted(watched.NUMBERS))
def test_other_ways_into_the_kernel_pass(name: str) -> None:
    code, number = watched.program(), watched.NUMBERS[name]
    args = six(3, SIOCSIFFLAGS, 1)
    for arch in (bpf.I386, bpf.AARCH64):
        assert bpf.answer(code, number, args, arch) == bpf.ALLOW
    assert bpf.answer(code, number | FIRST_X32, args) == bpf.ALLOW


# ------------------------------------------------------------------------------ what a copy may do


def ruled(
    name: str,
    *args: int,
    about: str = "fchown",
    refused: bool = True,
    own: frozenset[int] = frozenset(),
    kind: int | None = None,
    shared: bool = True,
    size: int = 0,
) -> Ruling:
    call = CopyCall(name, SYSCALLS.get(name, 99999), six(*args))
    return ruling(
        call,
        about=about,
        refused=refused,
        own=own,
        kind=lambda: kind,
        shared=lambda: shared,
        size=size,
    )


MADE, END = Ruling(Fate.MADE), Ruling(Fate.END)
DONE, REFUSED = Ruling(Fate.PRETENDED), Ruling(Fate.PRETENDED, -1)
WRONLY, RDWR = os.O_WRONLY, os.O_RDWR
NEW_LIMIT = (0, 7, 4096)
MARK = (3, socket.SOL_SOCKET, socket.SO_MARK)


@pytest.mark.parametrize(
    ("call", "about", "refused"),
    [
        (("fchown", 3, 1, 1), "fchown", True),
        (("lchown", 0, 1, 1), "fchownat", True),
        (("chown", 0, 1, 1), "fchown", True),
        (("fchmodat2", 0, 0, 0), "chmod", True),
        (("utimensat", 0, 0, 0), "utimes", True),
        (("sched_setscheduler", 0, 1, 0), "setpriority", True),
        (("mlockall", 3), "mlock", True),
        (("prlimit64", *NEW_LIMIT), "setrlimit", True),
        (("ioctl", 3, SIOCSIFFLAGS), "ioctl", True),
        (("setsockopt", *MARK), "setsockopt", True),
        (("acct", 0), "acct", True),
    ],
)
def test_the_call_and_its_family_are_refused_to_one_copy_and_pretended_to_the_other(
    call: tuple[str, int], about: str, refused: bool
) -> None:
    assert ruled(*call, about=about) == REFUSED
    assert ruled(*call, about=about, refused=False) == DONE


@pytest.mark.parametrize("refused", [True, False])
def test_calls_of_other_families(refused: bool) -> None:
    """What only the process sees is pretended; what it sets at an interface, it may read again."""
    for call in (
        *(("setpriority", 0, 0, 1), ("mlock", 0, 1), ("setrlimit", 7, 0)),
        *(("prlimit64", *NEW_LIMIT), ("setsockopt", *MARK)),
    ):
        assert ruled(*call, refused=refused) == DONE
    for call in (("ioctl", 3, SIOCSIFFLAGS), ("acct", 0)):
        assert ruled(*call, refused=refused) == END


@pytest.mark.parametrize(
    ("about", "call", "refused", "expected"),
    [
        ("bind", "bind", True, Ruling(Fate.PRETENDED, -13)),  # EACCES
        ("bind", "bind", False, DONE),
        ("chown", "bind", False, END),
        ("chown", "bind", True, END),
        ("setgid", "setgroups", True, Ruling(Fate.PRETENDED, -1)),
        ("setgid", "setgroups", False, MADE),  # it looks at what it is then
        ("setgid", "setuid", True, MADE),
        ("chown", "setuid", True, MADE),
        ("chroot", "chroot", True, Ruling(Fate.PRETENDED, -1)),
        ("chroot", "chroot", False, MADE),
        ("mknod", "mknodat", False, DONE),
        ("chown", "mknodat", False, END),
    ],
)
def test_calls_that_are_never_optional(
    about: str, call: str, refused: bool, expected: Ruling
) -> None:
    assert ruled(call, about=about, refused=refused) == expected


@pytest.mark.parametrize("name", ["write", "writev", "sendto", "sendmsg"])
def test_what_is_written_is_pretended_with_its_size(name: str) -> None:
    assert ruled(name, 5, 0, 0, size=17) == Ruling(Fate.WRITTEN, 17)
    assert ruled(name, 5, 0, 0, own=frozenset([5]), size=17) == Ruling(Fate.WRITTEN, 17)


READ_ONLY = (0, os.O_CLOEXEC, os.O_NONBLOCK, os.O_DIRECTORY, os.O_NOFOLLOW)


@pytest.mark.parametrize(
    ("flags", "kind", "expected"),
    [
        *((flags, stat.S_IFREG | 0o644, MADE) for flags in READ_ONLY),
        (0, stat.S_IFDIR | 0o755, MADE),
        (0, stat.S_IFIFO | 0o644, END),
        (0, stat.S_IFCHR | 0o666, END),
        (0, stat.S_IFBLK | 0o660, END),
        (0, stat.S_IFSOCK | 0o777, END),
        (0, None, END),
        *((flags, stat.S_IFREG | 0o644, END) for flags in (WRONLY, RDWR, 3)),
        *((flags, stat.S_IFREG | 0o644, END) for flags in (os.O_CREAT, os.O_TRUNC)),
        (os.O_TMPFILE | RDWR, stat.S_IFDIR | 0o755, END),
        (WRONLY, stat.S_IFIFO | 0o644, END),
    ],
)
def test_only_files_and_folders_are_opened_and_only_to_read(
    flags: int, kind: int | None, expected: Ruling
) -> None:
    assert ruled("open", 0, flags, 0, kind=kind) == expected
    assert ruled("openat", -100 & (1 << 64) - 1, 0, flags, kind=kind) == expected


def test_a_file_is_not_looked_at_that_is_not_opened_to_read() -> None:
    def kind() -> int:
        raise AssertionError

    call = CopyCall("open", SYSCALLS["open"], six(0, WRONLY))
    size, own = 0, frozenset[int]()
    assert (
        ruling(
            call, about="fchown", refused=True, own=own, kind=kind, shared=lambda: True, size=size
        )
        == END
    )


@pytest.mark.parametrize("name", ["read", "pread64", "lseek", "getdents64"])
def test_only_what_the_copy_has_opened_is_read(name: str) -> None:
    assert ruled(name, 5, 1, 1, own=frozenset([5])) == MADE
    assert ruled(name, 5 | ABOVE, 1, 1, own=frozenset([5])) == MADE  # the kernel takes 32 bits
    assert ruled(name, 5, 1, 1, own=frozenset([6])) == END


def test_an_inherited_offset_is_read_and_not_moved() -> None:
    assert ruled("lseek", 5, 0, os.SEEK_CUR) == MADE
    for move in ((1, os.SEEK_CUR), (0, os.SEEK_SET), (0, os.SEEK_END)):
        assert ruled("lseek", 5, *move) == END


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (("mmap", 0, 4096, 3, 0x22), MADE),
        (("mmap", 0, 4096, 1, 0x02, 3), MADE),
        (("mmap", 0, 4096, 3, 0x01, 3), END),
        (("mmap", 0, 4096, 3, 0x03, 3), END),  # MAP_SHARED_VALIDATE
        (("mmap", 0, 4096, 3, 0x21), END),
        *((("socket", family, 2), MADE) for family in (1, 2)),
        *((("socket", family, 2), END) for family in (10, 16, 17, 40)),
        (("fcntl", 3, 1), MADE),
        (("fcntl", 3, 2, 1), MADE),
        (("fcntl", 3, 3), MADE),
        *((("fcntl", 3, command), END) for command in (0, 4, 6, 7, 8, 9, 10, 1024, 1031, 1033)),
        (("ioctl", 0, TCGETS), MADE),
        (("ioctl", 0, 0x5413), MADE),
        *((("ioctl", 0, request), END) for request in (0x5402, 0x5412, 0x540E, 0x5421, 0x541B)),
        (("futex", 0, 1 | 128, 1), MADE),
        (("futex", 0, 1, 1), END),
        *((("futex", 0, operation | 128), END) for operation in (0, 3, 4, 5, 6, 9)),
        (("prctl", 15, 0), MADE),
        (("prctl", 22, 2), END),
        (("connect", 3, 0, 0), DONE),
    ],
)
def test_calls_that_depend_on_their_arguments(call: tuple[str, int], expected: Ruling) -> None:
    assert ruled(*call) == expected


def test_memory_that_others_see_is_not_made_writable() -> None:
    assert ruled("mprotect", 0, 4096, 3) == END
    assert ruled("mprotect", 0, 4096, 1) == ruled("mprotect", 0, 4096, 3, shared=False) == MADE


REACH_OTHERS = (
    *("kill", "tkill", "tgkill", "rt_sigqueueinfo", "pidfd_send_signal", "pidfd_getfd"),
    *("fork", "vfork", "clone", "clone3", "execve", "execveat", "ptrace", "process_vm_writev"),
    *("unlink", "unlinkat", "rename", "renameat2", "mkdir", "rmdir", "link", "symlink", "mknod"),
    *("truncate", "ftruncate", "fallocate", "creat", "mount", "umount2", "pwrite64", "pwritev"),
    *("sendmmsg", "sendfile", "splice", "tee", "vmsplice", "copy_file_range", "recvfrom"),
    *("recvmsg", "accept", "accept4", "bind", "listen", "shutdown", "readv", "preadv"),
    *("exit", "exit_group", "wait4", "waitid", "poll", "ppoll", "select", "epoll_ctl"),
    *("epoll_wait", "epoll_pwait", "nanosleep", "pause", "inotify_add_watch", "flock", "fsync"),
    *("semop", "msgsnd", "shmat", "shmctl", "mq_timedsend", "io_uring_setup", "io_submit", "bpf"),
    *("unshare", "setns", "seccomp", "setitimer", "timer_settime", "alarm", "timerfd_settime"),
    *("setpgid", "keyctl", "add_key", "reboot", "init_module", "finit_module", "sethostname"),
    *("swapon", "settimeofday", "clock_settime", "adjtimex", "syslog", "msync", "membarrier"),
    *("eventfd2", "signalfd4", "memfd_create", "msgrcv", "vhangup", "pivot_root"),
    *("process_madvise", "migrate_pages", "kcmp", "open_by_handle_at", "openat2", "quotactl"),
)


@pytest.mark.parametrize("name", sorted(REACH_OTHERS))
def test_a_copy_ends_at_a_call_that_reaches_others_or_waits(name: str) -> None:
    mode = stat.S_IFREG | 0o644
    assert ruled(name, own=frozenset([0]), kind=mode) == END
    assert ruled(name, 1, 1, 1, 1, 1, 1, own=frozenset([1]), kind=mode) == END


REVIEWED = """
brk munmap mprotect mremap madvise close dup dup2 dup3 pipe pipe2 getsockname getsockopt
getpeername chroot
setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capget capset
umask chdir fchdir setsid rt_sigaction rt_sigprocmask sigaltstack set_robust_list rseq
getpid gettid getppid getpgrp getpgid getsid getuid geteuid getgid getegid getgroups getresuid
getresgid getpriority sched_getparam sched_getscheduler sched_getattr sched_getaffinity
getrlimit getrusage times sysinfo uname gettimeofday time clock_gettime clock_getres getcpu
getrandom rt_sigpending stat lstat fstat newfstatat statx statfs fstatfs access faccessat
faccessat2 readlink readlinkat getcwd getxattr lgetxattr fgetxattr listxattr llistxattr
flistxattr prctl mmap
"""
"""Each of them was looked at: it changes nothing but what is of the copy alone, and waits for
nobody. Whoever adds one here has asked that of it, too."""


def test_every_call_that_a_copy_makes_was_looked_at() -> None:
    """Whatever its arguments are: the worst ones for those that depend on them."""
    made = {
        name
        for name in SYSCALLS
        if Fate.MADE
        in (
            ruled(name, 99, 99, 99, 99, 99, 99).step,
            ruled(name, *[1 << 40] * 6).step,
        )
    }
    assert made - set(REVIEWED.split()) == set()
    assert ruled("", 1).step is Fate.END  # one that nobody knows


# ------------------------------------------------------------------------------ what is tried


def test_the_same_call_of_one_place_is_tried_three_times() -> None:
    limits = TryLimits()
    assert [limits.wants("p", "chown", "here") for _ in range(5)] == [True] * 3 + [None] * 2
    assert limits.wants("p", "chown", "there") is True
    assert limits.wants("p", "fchown", "here") is True
    assert limits.wants("another", "chown", "here") is True


def test_places_beyond_the_limit_are_told_of_once() -> None:
    limits = TryLimits()
    asked = [limits.wants("p", "chown", place) for place in range(100)]
    tried = asked.index(False)
    assert asked == [True] * tried + [False] + [None] * (99 - tried)
    assert limits.wants("p", "chown", 0) is None  # more tries change nothing
    assert limits.wants("p", "fchown", 0) is True
    assert limits.wants("another", "chown", 0) is True


def test_there_is_an_end_to_all_tries() -> None:
    """And each program and call that was then not tried is told of."""
    limits = TryLimits()
    asked = [limits.wants(program, "chown", 0) for program in range(1000)]
    tried = asked.index(False)
    assert 0 < tried < 1000
    assert asked == [True] * tried + [False] * (1000 - tried)
    assert limits.wants(999, "chown", 0) is None
    assert [limits.wants(0, "chown", 0) for _ in range(2)] == [False, None]


def test_a_call_that_is_settled_is_tried_no_more() -> None:
    limits = TryLimits()
    assert limits.wants("p", "chown", "here") is True
    limits.settle("p", "chown")
    assert limits.wants("p", "chown", "here") is limits.wants("p", "chown", "there") is None
    assert limits.wants("p", "fchown", "here") is True


def test_of_a_loop_few_calls_are_looked_at() -> None:
    limits = TryLimits()
    looked = [at for at in range(1000) if limits.is_looked_at(7, "chown", 0x1000)]
    assert looked[:20] == list(range(20))
    assert 20 < len(looked) < 100
    assert looked[-1] > 900  # a place that comes late is found
    assert limits.is_looked_at(7, "chown", 0x2000)
    assert limits.is_looked_at(8, "chown", 0x1000)
    assert limits.is_looked_at(7, "lchown", 0x1000)


def test_the_limits_need_little_memory() -> None:
    limits = TryLimits()
    for thread in range(20000):
        limits.is_looked_at(thread, "chown", 0)
    assert limits.is_looked_at(0, "chown", 0)
    assert len(limits._asked) < 20000


# ------------------------------------------------------------------------------ what is counted


class Heard(Copies):
    """One to whom a test can tell things."""

    def sees(self, pid: int, call: str | None, program: str, *args: int) -> None:
        """A check in a call."""
        self.checked(pid, call, (call, six(*args)), program)

    def tell(self, *messages: object) -> None:
        data = b"".join(json.dumps(message).encode() + b"\n" for message in messages)
        os.write(self.write_fd, data)
        self.read()

    def says(self, *calls: tuple[int, str, str], wrote: str = "") -> None:
        """What came of calls of threads."""
        for tid, call, outcome in calls:
            said = {"tid": tid, "call": call, "which": 0, "outcome": outcome, "wrote": wrote}
            self.tell({"call": said})

    @property
    def reactions(self) -> tuple[Reaction, ...]:
        return self.merged(recording()).reactions


@pytest.fixture
def copies() -> Iterator[Heard]:
    with closing(Heard()) as heard:
        yield heard
        heard.given_away()


def test_outcomes_are_counted_by_program_and_call(copies: Heard) -> None:
    copies.sees(7, "chown", "sed")
    copies.sees(8, "chown", "sed")
    copies.sees(8, "fchown", "tar")
    copies.says(
        *((7, "chown", "WENT_ON"), (7, "chown", "MARKED"), (8, "chown", "REACTED")),
        *((8, "chown", "UNKNOWN"), (8, "fchown", "UNKNOWN")),
    )
    assert copies.reactions == (
        Reaction("sed", "chown", tried=3, went_on=2, marked=1, untried=1),
        Reaction("tar", "fchown", tried=0, went_on=0, marked=0, untried=1),
    )


def test_only_calls_count_in_which_a_check_was_made(copies: Heard) -> None:
    """By this thread, in this call; and the check may be known of later."""
    copies.says((7, "chown", "WENT_ON"), (8, "chown", "REACTED"), (7, "chmod", "REACTED"))
    copies.sees(7, "chown", "sed")
    copies.sees(7, "read", "sed")
    copies.sees(9, None, "sed")
    assert [(one.program, one.syscall, one.tried) for one in copies.reactions] == [
        ("sed", "chown", 1)
    ]


def test_calls_about_something_else_are_told_apart(copies: Heard) -> None:
    """A thread sets two socket options, and one of them takes a capability."""
    copies.sees(7, "setsockopt", "nginx", 3, 1, socket.SO_MARK)
    for which, outcome in ((socket.SO_MARK, "WENT_ON"), (socket.SO_PRIORITY, "REACTED")):
        said = {"tid": 7, "call": "setsockopt", "which": which, "outcome": outcome, "wrote": ""}
        copies.tell({"call": said})
    assert [(one.tried, one.went_on) for one in copies.reactions] == [(1, 1)]


def test_what_was_written_first_is_kept_in_part(copies: Heard) -> None:
    copies.sees(7, "chown", "sed")
    copies.says((7, "chown", "REACTED"))
    copies.says((7, "chown", "REACTED"), wrote="x" * 1000)
    copies.says((7, "chown", "REACTED"), wrote="another")
    (reaction,) = copies.reactions
    assert set(reaction.wrote) == {"x"}
    assert len(reaction.wrote) <= 200


ODD: list[Any] = [
    *(None, 1, "copier", [], {}, [1, 2], {"copier": "one"}, {"copy": None}, {"failed": 1}),
    *({"held": 7}, {"held": "7", "since": 1}, {"freed": 7, "until": 5}, {"freed": 99, "until": 1}),
    *({"call": None}, {"call": {}}, {"call": {"tid": 7, "call": "chown"}}),
    {"call": {"tid": "7", "call": "chown", "which": 0, "outcome": "WENT_ON", "wrote": ""}},
    {"call": {"tid": 7, "call": "reboot", "which": 0, "outcome": "WENT_ON", "wrote": ""}},
    {"call": {"tid": 7, "call": "chown", "which": 0, "outcome": "never heard of", "wrote": ""}},
    {"call": {"tid": 7, "call": 5, "which": 0, "outcome": "WENT_ON", "wrote": ""}},
]


@pytest.mark.parametrize("message", ODD, ids=map(str, ODD))
def test_messages_that_make_no_sense_change_nothing(copies: Heard, message: object) -> None:
    copies.sees(7, "chown", "sed")
    copies.sees(7, "reboot", "sed")
    copies.tell(message)
    assert copies.merged(recording()) == recording()
    assert (copies.pid, copies.copies, copies.cautions) == (0, set(), ())


def test_a_flood_of_messages_needs_little_memory(copies: Heard) -> None:
    for pid in range(5000):
        copies.tell({"copy": pid}, {"held": pid, "since": 1})
    copies.sees(7, "chown", "sed")
    copies.says(*[(7, "chown", "WENT_ON")] * 5000)
    assert len(copies.copies) < 5000
    assert copies.reactions[0].tried < 5000


def event(pid: int, when: int) -> Event:
    """As much of one as is looked at."""
    return cast("Event", (when, None, pid))


def test_what_copies_do_is_kept_apart(copies: Heard) -> None:
    copies.now = lambda: time.monotonic_ns()
    events, noise = [event(5, 10), event(6, 11), event(7, 12)], cast("Noise", {})
    assert copies.without(events, noise) == (events, noise)
    copies.tell({"copier": 4}, {"copy": 6})
    assert copies.pid == 4
    assert list(copies.without(events, noise)[0]) == [event(5, 10), event(7, 12)]


def test_what_a_thread_is_made_to_do_while_it_is_held_is_kept_apart(copies: Heard) -> None:
    """By the time: what it does before and after is its own."""
    ahead = 10**12  # the events' clock has drifted
    copies.now = lambda: time.monotonic_ns() + ahead
    second, begin = 10**9, 10**15
    times = [begin - second, begin + second // 2, begin + 2 * second]
    events = [event(pid, ahead + when) for when in times for pid in (5, 7)]
    copies.tell({"copy": 6}, {"held": 7, "since": begin})
    held, _ = copies.without(events, cast("Noise", {}))
    assert [e[2] for e in held] == [5, 7, 5, 5]
    copies.tell({"freed": 7, "until": begin + second})
    freed, _ = copies.without(events, cast("Noise", {}))
    assert [e[2] for e in freed] == [5, 7, 5, 5, 7]


def test_the_number_of_a_copy_can_be_another_process_later(copies: Heard) -> None:
    copies.now = time.monotonic_ns
    second, end = 10**9, 10**15
    events = [event(6, end - second), event(6, end + second)]
    copies.tell({"copy": 6}, {"ended": 5, "until": end})
    assert list(copies.without(events, cast("Noise", {}))[0]) == []
    copies.tell({"ended": 6, "until": end})
    assert list(copies.without(events, cast("Noise", {}))[0]) == [events[1]]
    assert not copies.copies


def test_a_failure_is_said(copies: Heard) -> None:
    assert copies.merged(recording()).cautions == ()
    copies.tell({"failed": "no more memory"})
    (caution,) = copies.merged(recording()).cautions
    assert "no more memory" in caution
    assert "ENOSYS" in caution


def test_the_end_is_heard(copies: Heard) -> None:
    copies.tell({"copier": 4})
    assert not copies.ended
    os.close(copies.write_fd)
    copies.write_fd = os.open(os.devnull, os.O_WRONLY)
    copies.read()
    assert copies.ended
    copies.read()
    assert copies.pid == 4


@pytest.mark.parametrize(
    ("machine", "release", "effective", "filters", "reason"),
    [
        ("x86_64", "6.18.1", "1ffffffffff", "0", None),
        ("x86_64", "5.19-rc8", "1ffffffffff", "0", None),
        (
            "x86_64",
            "5.10.0-30",
            "1ffffffffff",
            "0",
            "copies take Linux 5.19, and this is 5.10.0-30",
        ),
        (
            "aarch64",
            "6.18",
            "1ffffffffff",
            "0",
            "copies are made on x86_64 only, and this is aarch64",
        ),
        ("x86_64", "6.18", "1ffffdfffff", "0", "copies take SYS_ADMIN"),
        ("x86_64", "6.18", "1fffff7ffff", "0", "copies take SYS_PTRACE"),
        ("x86_64", "6.18", "1ffffffffff", "1", "copies cannot be made below a seccomp filter"),
    ],
)
def test_why_no_copies_are_made(
    machine: str, release: str, effective: str, filters: str, reason: str | None
) -> None:
    names = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    status = "".join(f"{name}:\t{effective:0>16}\n" for name in names)
    status += f"Seccomp_filters:\t{filters}\n"
    assert why_not(machine, release, status) == reason


def test_calls_that_take_no_capability_are_let_go(tmp_path: Path) -> None:
    """Judged of a thread that waits in the call: here, of our own."""
    mine = tmp_path / "mine"
    mine.touch()
    status = procfs.parse_status((procfs.PROC / "self" / "status").read_text())
    foreign = {**status, "Uid": "4242\t4242\t4242\t4242"}
    path = ctypes.create_string_buffer(os.fsencode(mine))
    at = ctypes.addressof(path)
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    same = ctypes.create_string_buffer(struct.pack("<qq", hard, hard))
    limit = ctypes.addressof(same)
    here, cwd = CopiedThread(os.getpid()), -100 & (1 << 64) - 1
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    with mine.open() as file:
        rows = [
            ("chmod", (at, 0o644), True),
            ("fchmod", (file.fileno(), 0o644), True),
            ("fchmodat", (cwd, at, 0o644), True),
            ("utimensat", (cwd, at, 0, 0), True),
            ("utimensat", (file.fileno(), 0, 0, 0), True),
            ("chown", (at, 1, 1), False),
            ("setxattr", (at, 0, 0, 0), False),  # security.capability takes SETFCAP of the owner
            ("setpriority", (0, 0, nice), True),
            ("setpriority", (0, 0, nice - 1), False),
            ("setpriority", (0, 1, nice), False),  # another process
            ("setrlimit", (resource.RLIMIT_CORE, limit), True),
            ("prlimit64", (0, resource.RLIMIT_CORE, limit, 0), True),
            ("prlimit64", (1, resource.RLIMIT_CORE, limit, 0), False),
            ("chmod", (8, 0o644), False),  # no memory there
        ]
        for call, args, free in rows:
            full = (*args, *(0,) * (6 - len(args)))
            assert is_free(here, status, call, full) is free, (call, args)
        for call, args, _ in rows[:5]:
            full = (*args, *(0,) * (6 - len(args)))
            assert not is_free(here, foreign, call, full), (call, args)
