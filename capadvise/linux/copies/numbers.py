"""Numbers of the calls that copies make (asm/unistd_64.h). The catalog has them, too, but takes
longer to load than a program may wait for its first copy.
"""

from __future__ import annotations

from capadvise.linux.copies.watched import NUMBERS

_OTHERS = {
    **{"read": 0, "write": 1, "open": 2, "close": 3, "stat": 4},
    **{"fstat": 5, "lstat": 6, "lseek": 8, "mmap": 9, "mprotect": 10},
    **{"munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "pread64": 17},
    **{"writev": 20, "access": 21, "pipe": 22, "mremap": 25, "madvise": 28},
    **{"dup": 32, "dup2": 33, "getpid": 39, "socket": 41, "connect": 42},
    **{
        "sendto": 44,
        "sendmsg": 46,
        "getsockname": 51,
        "getpeername": 52,
        "getsockopt": 55,
        "exit": 60,
    },
    **{"uname": 63, "fcntl": 72, "getcwd": 79, "chdir": 80, "fchdir": 81},
    **{"readlink": 89, "umask": 95, "gettimeofday": 96, "getrlimit": 97, "getrusage": 98},
    **{"sysinfo": 99, "times": 100, "getuid": 102, "getgid": 104},
    **{"geteuid": 107, "getegid": 108, "getppid": 110, "getpgrp": 111},
    **{"setsid": 112, "getgroups": 115},
    **{"getresuid": 118, "getresgid": 120, "getpgid": 121},
    **{"setfsuid": 122, "setfsgid": 123, "getsid": 124, "capget": 125, "capset": 126},
    **{"rt_sigpending": 127, "sigaltstack": 131, "statfs": 137, "fstatfs": 138, "getpriority": 140},
    **{
        "sched_getparam": 143,
        "sched_getscheduler": 145,
        "prctl": 157,
        "gettid": 186,
        "getxattr": 191,
    },
    **{"lgetxattr": 192, "fgetxattr": 193, "listxattr": 194, "llistxattr": 195, "flistxattr": 196},
    **{
        "time": 201,
        "futex": 202,
        "sched_getaffinity": 204,
        "getdents64": 217,
        "clock_gettime": 228,
    },
    **{"clock_getres": 229, "exit_group": 231, "openat": 257, "newfstatat": 262, "readlinkat": 267},
    **{"faccessat": 269, "set_robust_list": 273, "dup3": 292, "pipe2": 293, "getcpu": 309},
    **{"sched_getattr": 315, "getrandom": 318, "statx": 332, "rseq": 334, "faccessat2": 439},
    **{"kill": 62, "tkill": 200, "tgkill": 234},
}
NAMES = {number: name for name, number in (*NUMBERS.items(), *_OTHERS.items())}
