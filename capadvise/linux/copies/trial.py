"""One try: two copies of a process, one of them refused a call; what becomes of them."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import Enum, auto
from functools import partial

from capadvise.dataclass import dataclass
from capadvise.linux.copies.difference import MemoryRange, mappings, marked
from capadvise.linux.copies.free import path_at, stat_of
from capadvise.linux.copies.numbers import NAMES
from capadvise.linux.copies.steps import CopyCall, Fate, Ruling, ruling
from capadvise.linux.copies.thread import CopiedThread, CpuRegisters, HeldThread, ThreadGone
from capadvise.linux.copies.watched import ERRORS, MADE

_SECONDS = 0.2
"""For one copy: meanwhile, other threads of the target wait at such calls."""
_MOST_CALLS = 300
_MOST_TEXT = 200
_MOST_PARTS = 64
_EXITS = ("exit", "exit_group")
_TELLS_NOTHING = ("futex", "kill", "tkill", "tgkill")
"""Where the copy to which the call seems to succeed ends so: it waits for a thread that it does not
have, or aborts, for what it was told is not true."""
_MPROTECT, _PROT_READ = 10, 1
_CONSUMED = ("kmsg", "trace_pipe", "trace_pipe_raw")
"""Files of the kernel: what one has read, others do not get."""
_KEPT = ("orig_rax", "rip", "rsp")


class Reacting(Enum):
    """What a try has shown."""

    WENT_ON = auto()
    """The refused copy went on as the other one did, and nothing in its memory tells of it."""
    MARKED = auto()
    """The same, but that something was left in its memory."""
    REACTED = auto()
    """It ended, or went another way."""
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class CopyOutcome:
    """The outcome, and what the refused copy wrote, and the other one did not."""

    reacting: Reacting
    wrote: str = ""


@dataclass(frozen=True, slots=True)
class _End:
    """Where a copy has come to."""

    call: str
    at: CpuRegisters | None
    """None: to no end within the limits, or it was killed by a signal."""
    wrote: tuple[bytes, ...]

    @property
    def fails(self) -> bool:
        """It ends the process, with an exit status other than 0."""
        return self.call in _EXITS and self.at is not None and bool(self.at.rdi & 0xFF)


def fork_apart(
    held: HeldThread, shared: Iterable[MemoryRange], told: Callable[[int], None]
) -> CopiedThread | None:
    """A copy of a held thread's process, of which that process knows nothing: its parent was a
    copy, too, which has ended. ``shared``: memory that others see, from which the copy is kept;
    None where it cannot be. ``told`` is called with each copy's pid. Raises ThreadGone."""
    between = held.thread.fork(held.base)
    try:
        told(between.tid)
        if not _protected(between, held.base, shared):
            return None
        copy = between.fork(held.base)
        told(copy.tid)
        return copy
    finally:
        between.end()
        held.thread.reap(held.base, between)


def compare(
    first: CopiedThread, base: CpuRegisters, about: str, told: Callable[[int], None]
) -> CopyOutcome:
    """Let a copy go on behind the call ``about``, and a copy of that, to which it is refused. Both
    end here. Raises ThreadGone."""
    copies = [first]
    try:
        copies.append(second := first.fork(base, beside=True))
        told(second.tid)
        ends = [
            _run(copy, base, about, refused=refused)
            for copy, refused in ((first, False), (second, True))
        ]
        return _compared(first, second, *ends)
    finally:
        for copy in copies:
            copy.end()


def _protected(copy: CopiedThread, base: CpuRegisters, shared: Iterable[MemoryRange]) -> bool:
    """A copy that writes to memory which others see is killed by SIGSEGV."""
    return all(
        copy.make(base, _MPROTECT, part.start, part.end - part.start, _PROT_READ) == 0
        for part in shared
    )


def _compared(one: CopiedThread, other: CopiedThread, let: _End, refused: _End) -> CopyOutcome:
    text = b"".join(text for text in refused.wrote if text not in let.wrote)
    wrote = text.decode(errors="replace")[:_MOST_TEXT]
    untold = let.call in _TELLS_NOTHING or let.fails
    if let.at is None or refused.at is None or untold:
        return CopyOutcome(Reacting.UNKNOWN, wrote)
    same = all(getattr(let.at, part) == getattr(refused.at, part) for part in _KEPT)
    if not same or refused.fails:
        return CopyOutcome(Reacting.REACTED, wrote)
    if text or marked(one, other, let.at):
        return CopyOutcome(Reacting.MARKED, wrote)
    return CopyOutcome(Reacting.WENT_ON)


def _run(copy: CopiedThread, base: CpuRegisters, about: str, *, refused: bool) -> _End:
    """Let a copy go on behind the call."""
    if about in MADE and not refused:
        copy.registers = base.calling(base.orig_rax, *base.args)
    else:
        copy.registers = base.back(-ERRORS[about] if refused else 0)
    own: set[int] = set()
    wrote: list[bytes] = []
    end = time.monotonic() + _SECONDS
    with suppress(ThreadGone):
        for _ in range(_MOST_CALLS):
            copy.step(_SECONDS)
            entered = copy.registers
            number = entered.orig_rax
            call = CopyCall(NAMES.get(number, str(number)), number, entered.args)
            parts = _parts(copy, call)
            what = ruling(
                call,
                about=about,
                refused=refused,
                own=frozenset(own),
                kind=partial(_kind, copy, call),
                shared=partial(_is_shared, copy, call),
                size=sum(size for _, size in parts),
            )
            if what.step is Fate.END:
                return _End(call.name, entered, tuple(wrote))
            if what.step is Fate.WRITTEN:
                wrote += [copy.bytes_at(at, min(size, _MOST_TEXT)) for at, size in parts]
            _pass(copy, entered, what)
            if what.step is Fate.MADE:
                _note_descriptors(call, copy.registers.rax, own)
            if time.monotonic() > end:
                break
    return _End("", None, tuple(wrote))


def _pass(copy: CopiedThread, entered: CpuRegisters, what: Ruling) -> None:
    """Through a call, which is made, or seems to be."""
    if what.step is not Fate.MADE:
        copy.registers = entered.with_(orig_rax=-1)
    copy.step(_SECONDS)
    if what.step is not Fate.MADE:
        copy.registers = copy.registers.with_(rax=what.value)


def _note_descriptors(call: CopyCall, result: int, own: set[int]) -> None:
    """Those that a copy has opened itself."""
    if call.name in ("open", "openat", "socket") and result < 1 << 31:
        own.add(result)
    elif call.name == "close":
        own.discard(call.args[0] & 0xFFFFFFFF)


def _parts(copy: CopiedThread, call: CopyCall) -> list[tuple[int, int]]:
    """(address, size) of what a call is about to write."""
    match call.name:
        case "write" | "sendto":
            return [(call.args[1], call.args[2])]
        case "writev":
            return _vector(copy, call.args[1], call.args[2])
        case "sendmsg":  # struct msghdr: msg_iov and msg_iovlen
            header = copy.bytes_at(call.args[1], 32)
            return _vector(copy, *struct.unpack_from("<QQ", header, 16)) if header[31:] else []
        case _:
            return []


def _vector(copy: CopiedThread, at: int, count: int) -> list[tuple[int, int]]:
    data = copy.bytes_at(at, 16 * min(count, _MOST_PARTS))
    return list(struct.iter_unpack("<QQ", data[: len(data) & ~15]))


def _is_shared(copy: CopiedThread, call: CopyCall) -> bool:
    """Whether others see memory that a call names, an address and a size."""
    start, size = call.args[:2]
    with suppress(OSError):
        return any(
            "s" in part.mode and part.start < start + size and start < part.end
            for part in mappings(copy)
        )
    return True


def _kind(copy: CopiedThread, call: CopyCall) -> int | None:
    """The mode of the file that a call opens; None where there is none."""
    folder, at = (call.args[0], call.args[1]) if call.name == "openat" else (-100, call.args[0])
    if path_at(copy, at).rpartition("/")[2] in _CONSUMED:
        return None
    with suppress(OSError):
        return stat_of(copy, folder, at).st_mode
    return None
