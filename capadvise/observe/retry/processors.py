"""The registers with which processors call the kernel, and how a call is made again. Pure."""

from dataclasses import dataclass

_MINUS_ONE = 0xFFFFFFFFFFFFFFFF

Registers = list[int]


@dataclass(frozen=True, slots=True)
class Processor:
    """One way into the kernel."""

    arch: int
    """AUDIT_ARCH_*, linux/audit.h."""
    pointer: int
    """Index of the instruction pointer among the registers."""
    stack: int
    length: int
    """Bytes of the instruction that enters the kernel."""
    number: int
    """Index of the register that names the call when the instruction runs."""
    args: tuple[int, ...]
    entered: int | None
    """Index of the register that names a call that is under way; None: a register set of its
    own."""
    result_is_first: bool = False
    """The result takes the place of the first argument."""
    reach: int = 1 << 64
    """Addresses that an argument can hold are below."""

    def rewound(self, registers: Registers, number: int, args: tuple[int, ...]) -> Registers:
        """The registers before the instruction that made this call."""
        before = list(registers)
        before[self.pointer] -= self.length
        before[self.number] = number
        if self.result_is_first:
            before[self.args[0]] = args[0]
        if self.entered is not None:  # no call is under way: nothing for the kernel to restart
            before[self.entered] = _MINUS_ONE
        return before

    def came_back(
        self, registers: Registers, number: int, pointer: int, *, interrupted: bool = False
    ) -> int | None:
        """The result of this call, if these are the registers right after it. ``interrupted``: or
        after an interrupt there, which leaves no trace of the call."""
        if self.entered is None or registers[self.pointer] != pointer:
            return None
        if registers[self.entered] not in (number, _MINUS_ONE if interrupted else number):
            return None
        result = registers[self.number]
        return result - (1 << 64) if result >> 63 else result

    def calling(self, before: Registers, number: int, args: tuple[int, ...]) -> Registers:
        """Registers with which the same instruction makes another call."""
        other = list(before)
        other[self.number] = number
        for index, value in zip(self.args, args, strict=False):
            other[index] = value
        return other

    def exchanged(self, registers: Registers, number: int, args: tuple[int, ...]) -> Registers:
        """Registers that turn the call about to be entered into another one; -1: into none. If
        ``entered`` is None, the caller sets the number, too."""
        other = list(registers)
        for index, value in zip(self.args, args, strict=False):
            other[index] = value
        if self.entered is not None:
            other[self.entered] = number & _MINUS_ONE
        return other


PROCESSORS = {
    # user_regs_struct of arch/x86/include/asm/user_64.h: r15 … rax(10) rcx rdx rsi rdi orig rip;
    # int 0x80 is as long as syscall, and where sysenter returns to, int 0x80 stands before
    "x86_64": (
        Processor(*(0xC000003E, 16, 19, 2, 10, (14, 13, 12, 7, 9, 8), 15)),
        Processor(*(0x40000003, 16, 19, 2, 10, (5, 11, 12, 13, 14, 4), 15), reach=1 << 32),
    ),
    # user_pt_regs of arch/arm64/include/uapi/asm/ptrace.h: x0 … x30, sp, pc, pstate
    "aarch64": (
        Processor(*(0xC00000B7, 32, 31, 4, 8, (0, 1, 2, 3, 4, 5), None), result_is_first=True),
    ),
}
"""By ``uname -m``."""
