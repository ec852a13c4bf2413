"""A seccomp filter that stops the calls of interest and lets all others run at full speed.

Pure: from call numbers to the bytes of a BPF program (linux/filter.h, linux/seccomp.h). The kernel
keeps a bitmap of the calls that are always allowed, so that the length of the list costs nothing.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

_LOAD, _JUMP, _JEQ, _JGE, _JSET, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x45, 0x06
_TRACE, _ALLOW = 0x7FF00000, 0x7FFF0000
_NUMBER_AT, _ARCH_AT, _ARGS_AT = 0, 4, 16
FIRST_X32 = 0x40000000
"""Call numbers from here on are those of the x32 interface of x86-64: not known."""

Instruction = tuple[int, int, int, int]
_STOP: Instruction = (_RETURN, 0, 0, _TRACE)


class How(IntEnum):
    """The kinds of test for an argument."""

    EQUAL = 0
    BITS = 1
    """At least one of these bits is set."""
    BELOW = 2
    NONZERO = 3
    """In all of its 64 bits."""


@dataclass(frozen=True, slots=True)
class ArgumentTest:
    """A question about one argument of a call."""

    arg: int
    how: How
    value: int = 0


@dataclass(frozen=True, slots=True)
class Only:
    """Stop a call only where one of these holds; each is a list of tests that all must hold."""

    any_of: tuple[tuple[ArgumentTest, ...], ...] = ()
    unless: tuple[ArgumentTest, ...] = ()
    """Let it pass where one of these (EQUAL) holds."""


def program(tables: Iterable[tuple[int, Iterable[int], Mapping[int, Only]]]) -> bytes:
    """The filter, from the calls to stop and the arguments with which some are stopped, for each
    way into the kernel (an AUDIT_ARCH number). It stops each call that enters another way, so that
    we learn of it."""
    code: list[Instruction] = [(_LOAD, 0, 0, _ARCH_AT)]
    for arch, calls, only in tables:
        section = _section(calls, only)
        code += [(_JEQ, 1, 0, arch), (_JUMP, 0, 0, len(section)), *section]
    code.append(_STOP)
    return b"".join(struct.pack("<HBBI", *item) for item in code)


def _section(calls: Iterable[int], only: Mapping[int, Only]) -> list[Instruction]:
    code: list[Instruction] = [
        (_LOAD, 0, 0, _NUMBER_AT),
        (_JGE, 0, 1, FIRST_X32),
        _STOP,
    ]
    for number in sorted(set(calls)):
        inner = _conditional(only[number]) if number in only else [_STOP]
        code += [(_JEQ, 0, len(inner), number), *inner]
    return [*code, (_RETURN, 0, 0, _ALLOW)]


def _conditional(only: Only) -> list[Instruction]:
    code: list[Instruction] = []
    for test in only.unless:
        code += [*_tested(test, 1), (_RETURN, 0, 0, _ALLOW)]
    for tests in only.any_of:
        code += _all_hold(tests)
    return [*code, (_RETURN, 0, 0, _ALLOW) if only.any_of else _STOP]


def _all_hold(tests: Sequence[ArgumentTest]) -> list[Instruction]:
    """Stop the call where all hold, else go on behind."""
    code: list[Instruction] = [_STOP]
    for test in reversed(tests):
        code = [*_tested(test, len(code)), *code]
    return code


def _tested(test: ArgumentTest, skip: int) -> list[Instruction]:
    """Go on where the test holds, else jump over ``skip`` instructions."""
    low = _ARGS_AT + 8 * test.arg
    match test.how:
        case How.EQUAL:
            return [(_LOAD, 0, 0, low), (_JEQ, 0, skip, test.value)]
        case How.BITS:
            return [(_LOAD, 0, 0, low), (_JSET, 0, skip, test.value)]
        case How.NONZERO:
            upper = [(_LOAD, 0, 0, low + 4), (_JEQ, skip, 0, 0)]
            return [(_LOAD, 0, 0, low), (_JEQ, 0, 2, 0), *upper]
        case How.BELOW:
            upper = [(_LOAD, 0, 0, low + 4), (_JEQ, 0, skip + 2, 0)]
            return [*upper, (_LOAD, 0, 0, low), (_JGE, skip, 0, test.value)]
