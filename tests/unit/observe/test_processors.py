"""Which register means what: a call made again, made another one, or none."""

from __future__ import annotations

import pytest

from capadvise.catalog import default
from capadvise.catalog.syscalls import INTERFACES
from capadvise.observe.retry.mode import MACHINES
from capadvise.observe.retry.processors import PROCESSORS, Processor

X86_64, I386 = PROCESSORS["x86_64"]
(AARCH64,) = PROCESSORS["aarch64"]
MINUS_ONE = 0xFFFFFFFFFFFFFFFF
CALL, CAPSET, ARGS = 56, 91, (3, 4, 5, 6, 7, 8)


def test_each_machine_with_retries_has_the_ways_into_its_kernel() -> None:
    assert set(MACHINES) == set(PROCESSORS) == set(INTERFACES)
    for machine, processors in PROCESSORS.items():
        assert tuple(way.arch for way in processors) == INTERFACES[machine]


def registers(count: int, values: dict[int, int]) -> list[int]:
    """All that a thread has; those that are not named hold 1000 and more."""
    return [values.get(index, 1000 + index) for index in range(count)]


def returned_x86_64(result: int) -> list[int]:
    # r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip
    return registers(27, {10: result, 15: CALL, 16: 0x5002, 14: 3, 13: 4, 12: 5, 7: 6, 9: 7, 8: 8})


def returned_aarch64(result: int) -> list[int]:
    # x0 … x30 sp pc pstate
    values = {index: value for index, value in enumerate(ARGS) if index}
    return registers(34, {0: result, **values, 8: CALL, 32: 0x5004})


@pytest.mark.parametrize(
    ("processor", "after", "before"),
    [
        (X86_64, returned_x86_64(-1), {10: CALL, 15: MINUS_ONE, 16: 0x5000}),
        (I386, returned_x86_64(-1), {10: CALL, 15: MINUS_ONE, 16: 0x5000}),
        # the result has taken the place of the first argument
        (AARCH64, returned_aarch64(-1), {0: 3, 32: 0x5000}),
    ],
)
def test_a_call_is_made_again(
    processor: Processor, after: list[int], before: dict[int, int]
) -> None:
    wanted = [before.get(index, value) for index, value in enumerate(after)]
    assert processor.rewound(after, CALL, ARGS) == wanted


@pytest.mark.parametrize(
    ("processor", "before", "changed"),
    [
        (X86_64, returned_x86_64(CALL), {10: CAPSET, 14: 64, 13: 72}),
        (I386, returned_x86_64(CALL), {10: CAPSET, 5: 64, 11: 72}),
        (AARCH64, returned_aarch64(3), {8: CAPSET, 0: 64, 1: 72}),
    ],
)
def test_the_same_instruction_makes_another_call(
    processor: Processor, before: list[int], changed: dict[int, int]
) -> None:
    wanted = [changed.get(index, value) for index, value in enumerate(before)]
    assert processor.calling(before, CAPSET, (64, 72)) == wanted


@pytest.mark.parametrize(
    ("processor", "entering", "changed"),
    [
        (X86_64, returned_x86_64(-38), {15: CAPSET, 14: 64, 13: 72}),
        # the number is in a register set of its own: NT_ARM_SYSTEM_CALL
        (AARCH64, returned_aarch64(3), {0: 64, 1: 72}),
    ],
)
def test_a_call_that_is_entered_becomes_another_one(
    processor: Processor, entering: list[int], changed: dict[int, int]
) -> None:
    wanted = [changed.get(index, value) for index, value in enumerate(entering)]
    assert processor.exchanged(entering, CAPSET, (64, 72)) == wanted


def test_calls_of_aarch64() -> None:
    """It has none of those that newer ones replace (asm-generic/unistd.h)."""
    numbers = default().syscalls.numbers["generic"]
    assert (numbers["openat"], numbers["capset"], numbers["bpf"]) == (56, 91, 280)
    older = {"open", "chown", "lchown", "mkdir", "readlink", "rename", "unlink", "fork", "mknod"}
    assert not older & set(numbers)


@pytest.mark.parametrize(
    ("change", "result"),
    [
        ({}, -13),
        ({10: 5}, 5),
        ({15: CAPSET}, None),  # another call
        ({15: MINUS_ONE}, None),  # none
        ({16: 0x5003}, None),  # it has gone on since
    ],
)
def test_what_a_call_has_returned_is_told_right_after_it(
    change: dict[int, int], result: int | None
) -> None:
    after = returned_x86_64(-13 & MINUS_ONE)
    for index, value in change.items():
        after[index] = value
    assert X86_64.came_back(after, CALL, 0x5002) == result
    known = -13 if change == {15: MINUS_ONE} else result
    assert X86_64.came_back(after, CALL, 0x5002, interrupted=True) == known
    assert AARCH64.came_back(returned_aarch64(-13 & MINUS_ONE), CALL, 0x5004) is None  # not tried
