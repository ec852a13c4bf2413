"""Seccomp filters: what they would answer, and which capabilities they make useless."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress

import pytest

from capadvise.catalog import default
from capadvise.kernel import libc, procfs, uapi
from capadvise.kernel.posture import seccomp_filters
from capadvise.kernel.posture.cbpf import INSTRUCTION, Action, Program, answer, run
from capadvise.model.caps import parse_set
from capadvise.targets.running.inspect import closed
from tests.support.wait import PATIENCE

X86 = 0xC000003E
LOAD, EQUAL, MASKED, RETURN = 0x20, 0x15, 0x45, 0x06
MOUNT, CLONE, GETPID = 165, 56, 39
NEW_USER = 0x10000000


def program(*code: tuple[int, int, int, int]) -> Program:
    return Program(code)


def refusing(number: int, value: int) -> Program:
    return program(
        (LOAD, 0, 0, 4),
        (EQUAL, 1, 0, X86),
        (RETURN, 0, 0, Action.KILL_PROCESS),
        (LOAD, 0, 0, 0),
        (EQUAL, 0, 1, number),
        (RETURN, 0, 0, value),
        (RETURN, 0, 0, Action.ALLOW),
    )


NO_NAMESPACES = program(
    (LOAD, 0, 0, 0),
    (EQUAL, 0, 3, CLONE),
    (LOAD, 0, 0, 16),  # the low half of the first argument
    (MASKED, 0, 1, NEW_USER),
    (RETURN, 0, 0, Action.ERRNO | 1),
    (RETURN, 0, 0, Action.ALLOW),
)


@pytest.mark.parametrize(
    ("filters", "number", "args", "found"),
    [
        ([refusing(MOUNT, Action.ERRNO | 1)], MOUNT, (), Action.ERRNO),
        ([refusing(MOUNT, Action.ERRNO | 1)], GETPID, (), Action.ALLOW),
        ([refusing(MOUNT, 0), refusing(MOUNT, Action.ERRNO)], MOUNT, (), Action.KILL_THREAD),
        ([refusing(MOUNT, 0), refusing(MOUNT, Action.KILL_PROCESS)], MOUNT, (),
         Action.KILL_PROCESS),
        ([refusing(MOUNT, Action.LOG), refusing(MOUNT, Action.TRACE)], MOUNT, (), Action.TRACE),
        ([refusing(MOUNT, 0x12345678)], MOUNT, (), Action.KILL_PROCESS),
        ([NO_NAMESPACES], CLONE, (NEW_USER,), Action.ERRNO),
        ([NO_NAMESPACES], CLONE, (0x11,), Action.ALLOW),
        ([], MOUNT, (), Action.ALLOW),
    ],
)  # fmt: skip
def test_the_strictest_answer_counts(
    filters: list[Program], number: int, args: tuple[int, ...], found: Action
) -> None:
    assert answer(filters, number, X86, args) is found


def test_another_architecture_is_another_question() -> None:
    assert answer([refusing(MOUNT, Action.ERRNO)], MOUNT, 0xC00000B7) is Action.KILL_PROCESS


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ([(0x00, 0, 0, 7), (0x04, 0, 0, 0xFFFFFFFF), (0x16, 0, 0, 0)], 6),  # wraps at 32 bits
        ([(0x00, 0, 0, 8), (0x07, 0, 0, 0), (0x00, 0, 0, 3), (0x2C, 0, 0, 0), (0x16, 0, 0, 0)], 24),
        ([(0x00, 0, 0, 9), (0x02, 0, 0, 15), (0x01, 0, 0, 2), (0x60, 0, 0, 15), (0x3C, 0, 0, 0),
          (0x16, 0, 0, 0)], 4),
        ([(0x80, 0, 0, 0), (0x16, 0, 0, 0)], 64),
        ([(0x00, 0, 0, 5), (0x84, 0, 0, 0), (0x54, 0, 0, 0xFF), (0x74, 0, 0, 4),
          (0x16, 0, 0, 0)], 15),
        ([(0x05, 0, 0, 1), (0x06, 0, 0, 1), (0x06, 0, 0, 2)], 2),
    ],
)  # fmt: skip
def test_arithmetic(code: list[tuple[int, int, int, int]], value: int) -> None:
    assert run(program(*code), bytes(64)) == value


def test_what_the_kernel_would_not_have_taken_is_refused() -> None:
    for code in ([(0xFF, 0, 0, 0)], [(LOAD, 0, 0, 63)], [(0x00, 0, 0, 1)], [(0x05, 0, 0, 9)]):
        with pytest.raises(ValueError, match="filter"):
            run(program(*code), bytes(64))
    for raw in (b"", b"\0" * 7, b"\0" * 8 * 4097):
        with pytest.raises(ValueError, match="no filter"):
            Program.parse(raw)


def test_any_program_ends() -> None:
    chance = random.Random(7)
    for _ in range(500):
        raw = chance.randbytes(INSTRUCTION.size * chance.randrange(1, 40))
        try:
            run(Program.parse(raw), bytes(64))
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("granted", "refused", "found"),
    [
        (["SYS_ADMIN"], [MOUNT, CLONE], [("clone", ["SYS_ADMIN"]), ("mount", ["SYS_ADMIN"])]),
        (["NET_RAW"], [MOUNT, CLONE], []),
        (["SYS_CHROOT"], [308], []),  # setns takes SYS_ADMIN first
        (["BPF", "SYS_ADMIN"], [321], [("bpf", ["SYS_ADMIN", "BPF"])]),
    ],
)
def test_capabilities_that_the_filter_makes_useless(
    granted: Sequence[str], refused: list[int], found: list[tuple[str, list[str]]]
) -> None:
    filters = [refusing(number, Action.ERRNO | 1) for number in refused]
    seen = closed(filters, parse_set(granted), X86, default())
    assert [(call, [cap.short for cap in sorted(caps)]) for call, caps in seen] == found


def test_a_signal_that_comes_while_filters_are_read_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It stops with the signal in hand, before it is interrupted."""
    real = libc.ptrace

    def late(request: int, pid: int, address: int = 0, data: int = 0) -> int:
        if request == uapi.PTRACE_INTERRUPT:
            os.kill(pid, signal.SIGTERM)
            while procfs.state(pid) != "t":
                time.sleep(0.001)
        return real(request, pid, address, data)

    monkeypatch.setattr(libc, "ptrace", late)
    with subprocess.Popen(["sleep", "60"]) as target:
        while procfs.comm(target.pid) != "sleep":
            time.sleep(0.001)
        with suppress(OSError):  # it has none; who is not root may not even ask
            list(seccomp_filters._read(target.pid))
        try:
            assert target.wait(PATIENCE) == -signal.SIGTERM
        finally:
            target.kill()
