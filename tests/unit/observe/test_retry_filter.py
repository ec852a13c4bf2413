"""Which calls EPERM retries stop: by a filter, and of the table of errors."""

from __future__ import annotations

import pytest

from capadvise.catalog import default
from capadvise.kernel import seccomp_program
from capadvise.observe.retry import calls
from tests.support import bpf

ARCH = bpf.X86_64


def run_bpf(code: bytes, number: int, args: tuple[int, ...] = (), arch: int = ARCH) -> bool:
    """Whether a filter stops a call."""
    return bpf.answer(code, number, args, arch) == bpf.TRACE


@pytest.mark.parametrize(
    ("call", "args", "stopped"),
    [
        ("openat", (), True),
        ("read", (), False),
        ("fcntl", (3, 4, 0o1000000), True),  # O_NOATIME
        ("fcntl", (3, 4, 0o4000), False),  # O_NONBLOCK
        ("fcntl", (3, 1031, 4096), True),
        ("prlimit64", (0, 3, 0), False),
        ("prlimit64", (1, 3, 0), True),
        ("prlimit64", (0, 3, 0x7FFC00000000), True),
        ("prlimit64", (0, 3, 0x1000), True),
        ("fcntl", (3, 1), False),
        ("ioctl", (1, 0x5401), False),
        ("ioctl", (1, 0x8914), True),
        ("mmap", (0, 4096, 3, 0x22), False),
        ("mmap", (0, 4096, 3, 0x2022), True),
        ("mmap", (4096, 4096, 3, 0x32), True),
        ("mmap", (0x7F0000000000, 4096, 3, 0x32), False),
        ("madvise", (0, 4096, 100), True),
        ("madvise", (0, 4096, 4), False),
        ("prctl", (15,), False),
        ("prctl", (24,), True),
        ("faccessat2", (0, 0, 0, 0x200), True),
        ("faccessat2", (0, 0, 0, 0), False),
    ],
)
def test_the_filter_stops_what_can_be_refused(
    call: str, args: tuple[int, ...], stopped: bool
) -> None:
    names = sorted(calls.stopped(name for name, _ in default().errnos) | {"read"})
    numbers = {name: number for number, name in enumerate(names)}
    listed = [number for name, number in numbers.items() if name != "read"]
    only = {numbers[name]: item for name, item in calls.ONLY.items() if name in numbers}
    other = {number + 1000 for number in listed}
    code = seccomp_program.program([(ARCH, listed, only), (calls.I386, other, {})])
    assert run_bpf(code, numbers[call], args) is stopped
    assert not run_bpf(code, numbers[call], args, arch=calls.I386)
    assert run_bpf(code, numbers["openat"] + 1000, args, arch=calls.I386)
    assert run_bpf(code, numbers[call], args, arch=0xC00000B7)  # so that it is known of
    assert run_bpf(code, numbers[call] | seccomp_program.FIRST_X32, args)
    assert len(code) // 8 < 4096  # BPF_MAXINSNS


@pytest.mark.parametrize(
    ("number", "name", "stopped"),
    [
        (182, "chown", True),  # of 16 bits
        (212, "chown", True),
        (208, "setresuid", True),
        (195, "stat", True),
        (300, "newfstatat", True),
        (221, "fcntl", True),
        (192, "mmap", True),  # mmap2
        (90, None, False),  # the old mmap: its arguments stand in memory
        (102, "socketcall", True),
        (264, "clock_settime", True),
        (404, "clock_settime", True),
        (3, "read", False),
        (20, None, False),  # getpid
    ],
)
def test_calls_of_32_bits_are_known_by_the_names_of_the_others(
    number: int, name: str | None, stopped: bool
) -> None:
    rows = {call for call, _ in default().errnos}
    way = calls.interface(calls.I386, default().syscalls.numbers["i386"], rows)
    call = way.calls.get(number)
    assert (call and call.name, number in way.stopped) == (name, stopped)
    assert way.capset == 185


def test_each_call_of_the_error_table_is_stopped_or_known_to_be_too_frequent() -> None:
    rows = {name for name, _ in default().errnos}
    assert rows - calls.stopped(rows) == calls.UNSTOPPED & rows
    assert {"accept", "mremap", "read", "write"} <= calls.UNSTOPPED


def test_each_call_that_is_stopped_has_a_number() -> None:
    """The tracer knows no numbers but those of the catalog's table."""
    rows = {name for name, _ in default().errnos}
    tables = default().syscalls.numbers.values()
    nameless = calls.stopped(rows) - {name for table in tables for name in table}
    assert nameless == {"pciconfig_read", "pciconfig_write"}  # of other processors
