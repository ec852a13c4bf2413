"""Does a program go on where a call is refused? Its machine code tells. Pure.

From each place where it calls the function, two ways are followed: the one on which it returned 0,
and the one on which it returned -1 and errno is EPERM. The program goes on if the second, through
nothing but functions that come back, leads onto the first, with nothing changed that is looked at
from there on: it warned, at most. Whatever is not understood counts as not going on.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Protocol

from capadvise.dataclass import dataclass
from capadvise.linux.kernel.x86_operands import (
    FLAGS,
    RAX,
    RCX,
    RDI,
    RDX,
    RSI,
    RSP,
    Does,
    Flow,
    Instruction,
    Location,
    Operand,
    Register,
)

_ARGUMENTS = 1 << RDI | 1 << RSI | 1 << RDX | 1 << RCX | 1 << 8 | 1 << 9
_VOLATILE = _ARGUMENTS | 1 << RAX | 1 << 10 | 1 << 11 | FLAGS
"""What a called function may change (System V ABI, AMD64 supplement, 3.2.1)."""
_ERRNO_AT = "__errno_location"
_POINTS_TO_ERRNO = 1 << 40
"""Stands for the address of errno, which no number of 32 bits is."""
_ENDS = frozenset(
    [
        *("exit", "_exit", "_Exit", "quick_exit", "abort", "err", "errx", "verr", "verrx"),
        *("__assert_fail", "__stack_chk_fail", "__chk_fail", "__fortify_fail", "pthread_exit"),
        *("longjmp", "_longjmp", "siglongjmp", "__longjmp_chk", "__cxa_throw", "__cxa_rethrow"),
        *("_Unwind_Resume", "execv", "execve", "execvp", "execl", "execlp", "execle", "fexecve"),
    ]
)
"""Functions of libraries that do not come back. Source: their manual pages, the Itanium C++ ABI."""
_COMES_BACK = frozenset(
    [
        *(_ERRNO_AT, "strerror", "strerror_r", "__xpg_strerror_r", "perror", "gettext", "dgettext"),
        *("dcgettext", "syslog", "vsyslog", "__syslog_chk", "__vsyslog_chk", "warn", "warnx"),
        *("vwarn", "vwarnx", "printf", "fprintf", "vprintf", "vfprintf", "__printf_chk"),
        *("__fprintf_chk", "__vprintf_chk", "__vfprintf_chk", "snprintf", "vsnprintf"),
        *("__snprintf_chk", "__vsnprintf_chk", "fputs", "fputc", "puts", "putc", "fwrite"),
        *("fflush", "getpid", "time", "localtime", "localtime_r", "strftime", "free", "strlen"),
    ]
)
"""Functions of libraries that a program calls to tell of an error, and that do come back. Source:
their manual pages."""
_STEPS, _WAYS, _BODY, _DEEP = 80, 400, 2000, 6


class MachineCode(Protocol):
    """The code of a program."""

    def at(self, address: int) -> Instruction | None:
        """The instruction there."""

    def import_of(self, instruction: Instruction) -> str | None:
        """The function of a library that it calls, or jumps to."""


@dataclass(frozen=True, slots=True)
class _State:
    """What is known after some instructions."""

    address: int
    known: dict[int, int]
    """Register → its value, of 32 bits."""
    flags: tuple[int, int] | int | None = None
    """Of which two numbers they tell the order, or of which one the sign."""
    errno: int = 0
    written: int = 0
    depth: int = 0
    """Bytes on the stack."""

    def value(self, operand: Operand) -> int | None:
        if isinstance(operand, Register):
            return self.known.get(operand.number)
        if isinstance(operand, Location):
            at_errno = operand.plain and self.known.get(operand.base) == _POINTS_TO_ERRNO
            return self.errno if at_errno else None
        return operand & 0xFFFFFFFF


def goes_on(code: MachineCode, returns: Iterable[int]) -> bool:
    """Whether the program goes on where the call that returns to these addresses is refused."""
    reader = _Reader(code)
    places = list(returns)
    return bool(places) and all(reader.goes_on(place) for place in places)


class _Reader:
    def __init__(self, code: MachineCode) -> None:
        self._code = code
        self._comes_back: dict[int, bool] = {}

    def goes_on(self, place: int) -> bool:
        fine = _State(place, {RAX: 0})
        refused = _State(place, {RAX: 0xFFFFFFFF}, errno=errno.EPERM)
        differs = 1 << RAX
        for _ in range(_STEPS):
            if fine.address != refused.address:
                return self._joins(refused, self._way(fine), differs)
            if not differs:
                return True
            step = self._code.at(fine.address)
            if step is None or step.flow in (Flow.RETURN, Flow.STOP):
                return False
            fine_next, refused_next = self._next(step, fine), self._next(step, refused)
            if len(fine_next) != 1 or len(refused_next) != 1:
                return False
            fine, refused = fine_next[0], refused_next[0]
            if step.flow is Flow.CALL:
                if (step.reads | _ARGUMENTS) & differs & ~FLAGS:
                    return False
                differs &= ~_VOLATILE
            elif step.flow is not Flow.BRANCH:
                if (step.stores is not None or step.pushes) and step.reads & differs:
                    return False
                reads = step.reads & differs
                differs = differs & ~step.writes | (step.writes if reads else 0)
        return False

    def _way(self, state: _State) -> dict[int, _State]:
        """Where it comes for certain, where the call was not refused, before it has done anything
        that the other way could have left out."""
        way: dict[int, _State] = {}
        while state.address not in way and len(way) < _STEPS:
            way[state.address] = state
            step = self._code.at(state.address)
            if step is None or step.stores is not None or step.pushes:
                break
            if step.flow in (Flow.CALL, Flow.RETURN, Flow.STOP):
                break
            if len(following := self._next(step, state)) != 1:
                break
            state = following[0]
        return way

    def _joins(self, refused: _State, way: dict[int, _State], differs: int) -> bool:
        """Whether all that it can do leads onto that way."""
        waiting, seen = [refused], set[int]()
        while waiting:
            state = waiting.pop()
            if (fine := way.get(state.address)) is not None:
                if not self._same(state, fine, differs):
                    return False
                continue
            if state.address in seen:
                continue
            seen.add(state.address)
            step = self._code.at(state.address)
            if len(seen) > _WAYS or step is None or step.flow in (Flow.RETURN, Flow.STOP):
                return False
            if step.stores is not None:
                return False
            if step.flow is Flow.CALL and not self._surely_returns(step):
                return False
            if not (following := self._next(step, state)):
                return False
            waiting += following
        return True

    def _same(self, refused: _State, fine: _State, differs: int) -> bool:
        """Whether nothing is looked at from here on that the two ways left different."""
        if refused.depth != fine.depth:
            return False
        differs |= refused.written | fine.written | FLAGS | 1 << RAX
        for register, value in refused.known.items():
            if value == fine.known.get(register):
                differs &= ~(1 << register)
        # What the call may have changed, and nobody has set since, nobody looks at.
        differs &= ~(_VOLATILE & ~fine.written & ~(1 << RAX | FLAGS))
        return not self._is_read(fine.address, differs)

    def _is_read(self, start: int, registers: int) -> bool:
        """Whether one of these registers is read before it is written."""
        waiting, seen = [(start, registers)], dict[int, int]()
        while waiting:
            address, left = waiting.pop()
            if not left & ~seen.get(address, 0):
                continue
            left |= seen.get(address, 0)
            seen[address] = left
            step = self._code.at(address)
            if step is None or len(seen) > _WAYS or self._needs(step) & left:
                return True
            if step.flow is Flow.CALL:
                left &= ~_VOLATILE
            if step.flow in (Flow.JUMP, Flow.BRANCH):
                assert step.target is not None
                waiting.append((step.target, left))
            ends = step.flow in (Flow.JUMP, Flow.STOP, Flow.RETURN)
            if not ends and self._code.import_of(step) not in _ENDS:
                waiting.append((step.next, left & ~step.writes))
        return False

    def _needs(self, step: Instruction) -> int:
        """The registers that are read: by who is called or returned to, too."""
        match step.flow:
            case Flow.CALL:
                return step.reads | _ARGUMENTS
            case Flow.RETURN:
                return ~(_VOLATILE & ~(1 << RAX))
            case Flow.JUMP | Flow.BRANCH if step.target is None or self._code.import_of(step):
                return ~0
        return step.reads

    def _surely_returns(self, call: Instruction) -> bool:
        """Whether the function that is called comes back, as far as can be told."""
        name = self._code.import_of(call)
        if name is not None:
            return name in _COMES_BACK
        return call.target is not None and self._returns(call.target, 0)

    def _returns(self, function: int, deep: int) -> bool:
        """Whether there is a way to its end."""
        if function not in self._comes_back:
            self._comes_back[function] = True  # of one that calls itself
            self._comes_back[function] = deep < _DEEP and self._has_return(function, deep)
        return self._comes_back[function]

    def _has_return(self, function: int, deep: int) -> bool:
        waiting, seen = [function], set[int]()
        while waiting and len(seen) < _BODY:
            address = waiting.pop()
            if address in seen:
                continue
            seen.add(address)
            step = self._code.at(address)
            if step is not None and self._ends_function(step):
                return True
            if step is not None:
                waiting += self._onward(step, deep)
        return False

    def _ends_function(self, step: Instruction) -> bool:
        """By a return, or a jump to a function of a library that returns in its place."""
        name = self._code.import_of(step)
        jumps = step.flow is Flow.JUMP and name is not None and name not in _ENDS
        return step.flow is Flow.RETURN or jumps

    def _onward(self, step: Instruction, deep: int) -> Iterator[int]:
        """Where a function may go on."""
        name = self._code.import_of(step)
        if step.flow in (Flow.JUMP, Flow.BRANCH) and step.target is not None and name is None:
            yield step.target
        if step.flow in (Flow.JUMP, Flow.STOP) or name in _ENDS:
            return
        inner = step.flow is Flow.CALL and name is None and step.target is not None
        if not inner or self._returns(step.target or 0, deep + 1):
            yield step.next

    def _next(self, step: Instruction, state: _State) -> list[_State]:
        """With what it can go on; nothing where that is not known."""
        match step.flow:
            case Flow.JUMP:
                if step.target is None or self._code.import_of(step):
                    return []
                return [replace(state, address=step.target)]
            case Flow.BRANCH:
                assert step.target is not None
                taken = _holds(step.condition, state.flags)
                ways = {True: [step.target], False: [step.next]}
                addresses = [step.target, step.next] if taken is None else ways[taken]
                return [replace(state, address=address) for address in addresses]
            case Flow.CALL:
                known = {r: v for r, v in state.known.items() if not _VOLATILE >> r & 1}
                if self._code.import_of(step) == _ERRNO_AT:
                    known[RAX] = _POINTS_TO_ERRNO
                written = state.written | _VOLATILE
                return [replace(state, address=step.next, known=known, flags=None, written=written)]
        return [after] if (after := _after(step, state)) else []


def _after(step: Instruction, state: _State) -> _State | None:
    """What is known after an instruction that leads to the next one; None where the stack is lost
    sight of."""
    if step.pushes is None:
        return None
    value, flags = _result(step, state)
    known = {r: v for r, v in state.known.items() if not step.writes >> r & 1}
    if value is not None and step.operands and isinstance(step.operands[0], Register):
        to = step.operands[0].number
        if step.writes >> to & 1:
            known[to] = value
    return replace(
        state,
        address=step.next,
        known=known,
        flags=flags if step.writes & FLAGS else state.flags,
        written=state.written | step.writes & ~(1 << RSP),
        depth=state.depth + step.pushes,
    )


def _result(step: Instruction, state: _State) -> tuple[int | None, tuple[int, int] | int | None]:
    """Its result, and what the flags say."""
    if step.operands is None or step.does is Does.UNKNOWN:
        return None, None
    to, of = step.operands
    second = state.value(of)
    if step.does is Does.SET:
        return second, 0 if second == 0 else None
    first = state.value(to)
    if first is None or second is None or _POINTS_TO_ERRNO in (first, second):
        return None, None
    combine: Callable[[int, int], int] = {
        Does.ADD: int.__add__,
        Does.SUBTRACT: int.__sub__,
        Does.COMPARE: int.__sub__,
        Does.TEST: int.__and__,
    }[step.does]
    number = combine(first, second) & 0xFFFFFFFF
    if step.does is Does.TEST:
        return None, (number, 0)
    return number, (first, second) if step.does is Does.COMPARE else number


def _holds(condition: int, flags: tuple[int, int] | int | None) -> bool | None:
    """Whether a branch is taken; conditions come in pairs, of which the second is the opposite."""
    if flags is None:
        return None
    first, second = flags if isinstance(flags, tuple) else (flags, 0)
    below, above = _signed(first), _signed(second)
    holds: dict[int, bool] = {4: first == second, 8: _signed(first - second) < 0}
    if isinstance(flags, tuple):
        holds |= {2: first < second, 6: first <= second, 12: below < above, 14: below <= above}
    known = holds.get(condition & ~1)
    return None if known is None else known != bool(condition & 1)


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value
