"""Calls of programs that are copied: which ones are watched, and which ones a copy may make."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator

import pytest

from capadvise.catalog import default
from capadvise.linux.copies import numbers, watched
from capadvise.linux.copies.steps import CopyCall, Fate, Ruling, ruling
from capadvise.linux.kernel.seccomp_program import FIRST_X32
from tests.support import bpf
from tests.support.bpf import six

SYSCALLS = default().syscalls.numbers["x86_64"]
IOCTL, SETSOCKOPT, PRLIMIT = (SYSCALLS[name] for name in ("ioctl", "setsockopt", "prlimit64"))
SIOCSIFFLAGS, TCGETS = 0x8914, 0x5401
ABOVE = 1 << 32
"""A bit of the upper half of a register."""


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
