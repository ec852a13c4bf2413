"""Making a thread call capset: before or after a call of its own, which it makes (again) then.

The thread's own instruction that enters the kernel is used, with other registers; memory for the
arguments is taken below the stack, and given back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ptrace.binding import func

from capadvise.kernel.uapi import LINUX_CAPABILITY_VERSION_3
from capadvise.observe.retry import machine
from capadvise.observe.retry.machine import CONT, SYSCALL
from capadvise.observe.retry.processors import Processor
from capadvise.observe.retry.thread import CallStep, Thread
from capadvise.observe.retry.tree import Tree

_FAILURES = 3
"""So many capsets of ours may fail in a thread before it is left alone."""
_HEADER = LINUX_CAPABILITY_VERSION_3.to_bytes(4, "little") + bytes(4)
"""_LINUX_CAPABILITY_VERSION_3, for the calling thread itself."""
_BELOW_STACK = 512
"""Bytes below the stack pointer where the arguments are put: beyond the red zone (x86-64: 128)."""


class Injector:
    """One for all threads."""

    def __init__(
        self, processors: Mapping[int, Processor], tree: Tree, capsets: Mapping[int, int]
    ) -> None:
        """``processors`` and the numbers of capset: by the ways into the kernel."""
        self.processors, self.tree, self.capsets = processors, tree, capsets
        self.native = next(iter(processors))

    def resume(self, thread: Thread, number: int = 0) -> None:
        """Let a thread run to the next stop of interest; ``number``: with this signal."""
        request = SYSCALL if self.tree.stops_at_each_call(thread) else CONT
        machine.op(request, thread.tid, 0, number)

    def before(self, thread: Thread, mask: int) -> None:
        """Before a call: change the effective set, then let it begin again."""
        thread.injecting = mask
        processor = self.processors[thread.arch]
        if thread.filtered or not (arguments := self.arguments(thread, mask)):
            # Its own filter would be asked about the exchanged call: leave the call first.
            if thread.filtered:
                self.suspend(thread, True)
            machine.exchange(processor, thread.tid, machine.get(thread.tid), -1)
            thread.step = CallStep.SKIP
            machine.op(SYSCALL, thread.tid)
            return
        registers = machine.get(thread.tid)
        thread.before = processor.rewound(registers, thread.number, thread.args)
        capset = self.capsets[thread.arch]
        machine.exchange(processor, thread.tid, registers, capset, arguments)
        thread.step, thread.entered = CallStep.INJECT, True
        machine.op(SYSCALL, thread.tid)

    def after(self, thread: Thread, mask: int) -> None:
        """After a call: change the effective set, then make the call again."""
        processor = self.processors[thread.arch]
        registers = machine.get(thread.tid)
        thread.before = processor.rewound(registers, thread.number, thread.args)
        thread.injecting = mask
        arguments = self.arguments(thread, mask)
        if not arguments:
            thread.injection_disabled = True
            self.again(thread)  # first: it may be gone, and its memory with it
            self.tree.evidence.tell_once(injection_disabled=thread.program)
            return
        calling = processor.calling(thread.before, self.capsets[thread.arch], arguments)
        machine.put(thread.tid, calling)
        thread.step, thread.entered = CallStep.INJECT, False
        if thread.filtered:
            self.suspend(thread, True)
        every = thread.filtered or self.tree.every_call
        machine.op(SYSCALL if every else CONT, thread.tid)

    def arguments(self, thread: Thread, mask: int) -> tuple[int, int] | None:
        """Put the arguments of a capset into the thread's memory; None where that cannot be."""
        sets = (mask, thread.permitted, thread.inheritable)
        words = [s & 0xFFFFFFFF for s in sets] + [s >> 32 for s in sets]
        data = _HEADER + b"".join(word.to_bytes(4, "little") for word in words)
        for address in self.places(thread, len(data)):
            old = thread.process.proc.raw(address, len(data))
            if len(old) == len(data) and thread.process.proc.write(address, data):
                thread.saved = (address, old)
                return address, address + len(_HEADER)
        return None

    def places(self, thread: Thread, size: int) -> Iterator[int]:
        """Where the arguments can be put, the best place first."""
        reach = self.processors[thread.arch].reach
        if thread.stack < reach:
            yield (thread.stack - _BELOW_STACK) & ~15
            yield thread.stack & ~15
        yield thread.process.proc.spare_memory(size, reach)

    def restore(self, thread: Thread) -> None:
        """Memory and registers as they were before our capset."""
        if thread.saved is not None:
            thread.process.proc.write(*thread.saved)
            thread.saved = None
        machine.put(thread.tid, thread.before)
        if thread.filtered:
            self.suspend(thread, False)

    def injected(self, thread: Thread, result: int) -> None:
        """Our capset came back."""
        self.restore(thread)
        if result == 0:
            thread.effective = thread.injecting
        else:  # its sets are not what we believed
            thread.reload()
            thread.virtual &= thread.permitted
            thread.failures += 1
            if thread.failures == _FAILURES:
                thread.injection_disabled = True
                self.tree.evidence.tell_once(injection_disabled=thread.program)
        thread.step = CallStep.AGAIN
        self.resume(thread)

    def again(self, thread: Thread) -> None:
        """Make the call once more, without a change of sets."""
        machine.put(thread.tid, thread.before)
        thread.step = CallStep.AGAIN
        self.resume(thread)

    def try_suspending(self, thread: Thread) -> None:
        """Whether filters can be suspended: CAP_SYS_ADMIN, and CONFIG_CHECKPOINT_RESTORE."""
        try:
            self.suspend(thread, True)
        except OSError:
            self.tree.can_suspend = False
        self.suspend(thread, False)

    def suspend(self, thread: Thread, on: bool) -> None:
        """Whether the thread's seccomp filters are asked."""
        more = machine.O_SUSPEND_SECCOMP if on else 0
        machine.op(func.PTRACE_SETOPTIONS, thread.tid, 0, machine.OPTIONS | more)
