"""Stops of a thread at the entry and at the end of a call: what they mean at each step.

This is the way of each call that is stopped, up to twice: what is not needed is not asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from capadvise.kernel import seccomp_program
from capadvise.observe.retry import machine
from capadvise.observe.retry.actions import RESUME, Action
from capadvise.observe.retry.calls import Interface
from capadvise.observe.retry.failing import SIGNAL, FailingCalls
from capadvise.observe.retry.inject import Injector
from capadvise.observe.retry.machine import CONT, SYSCALL
from capadvise.observe.retry.policy import Policy
from capadvise.observe.retry.processors import Registers
from capadvise.observe.retry.thread import CallStep, Thread
from capadvise.observe.retry.tree import Tree

_FREE, _CALL, _INJECT, _SKIP, _AGAIN, _ARMED = CallStep
"""Python looks up a member of an enumeration slowly."""


class CallStops:
    """One for all threads."""

    def __init__(
        self,
        tree: Tree,
        interfaces: Mapping[int, Interface],
        injector: Injector,
        policy: Policy,
        perform: Callable[[Thread, Action], None],
        failing: FailingCalls | None,
    ) -> None:
        """``failing``: what stops a call only at its failure, where that can be had."""
        self.tree, self.interfaces, self.injector = tree, interfaces, injector
        self.policy, self.perform, self.failing = policy, perform, failing

    def filtered(self, thread: Thread) -> None:
        """The filter stopped a call at its entry."""
        if thread.step is _INJECT:
            thread.entered = True
            machine.op(SYSCALL, thread.tid)
        elif thread.step is _CALL:  # seen at its entry already, without the filter
            machine.op(SYSCALL, thread.tid)
        else:
            self.entry(thread, machine.call_info(thread.tid), filtered=True)

    def failed(self, thread: Thread) -> None:
        """It was armed, and its call has failed. Where its registers tell of something else, the
        signal came late; an interrupt can have brought it."""
        _, result = self._came_back(thread, interrupted=True)
        thread.step = _FREE
        if result is None:
            self.injector.resume(thread)
        else:
            self._after(thread, result)

    def interrupted(self, thread: Thread) -> None:
        """Another signal stops the thread before it is told that the call has failed. The call is
        made again afterwards, and fails again."""
        registers, result = self._came_back(thread)
        thread.step = _FREE
        if self.failing is not None and result is not None and -result in self.failing.errors:
            way = self.injector.processors[thread.arch]
            machine.put(thread.tid, way.rewound(registers, thread.number, thread.args))

    def disarm(self, thread: Thread) -> None:
        """It makes another call, or is gone: its armed call, if any, is over."""
        if self.failing is not None and self.failing.disarm(thread.tid):
            self.policy.ran_raised(thread)

    def _came_back(
        self, thread: Thread, *, interrupted: bool = False
    ) -> tuple[Registers, int | None]:
        came_back = self.injector.processors[thread.arch].came_back
        registers, call = machine.get(thread.tid), (thread.number, thread.pointer)
        return registers, came_back(registers, *call, interrupted=interrupted)

    def left_or_entered(self, thread: Thread) -> None:
        """A call was entered or left."""
        if thread.step is _CALL:
            thread.step = _FREE
            self._after(thread, machine.result(thread.tid))
        elif thread.step is _INJECT:
            if thread.entered:
                self.injector.injected(thread, machine.result(thread.tid))
            else:
                thread.entered = True
                machine.op(SYSCALL, thread.tid)
        elif thread.step is _SKIP:
            self.injector.after(thread, thread.injecting)
        else:
            info = machine.call_info(thread.tid)
            if info[0] != machine.ENTRY:
                self.injector.resume(thread)
            elif not self.tree.every_call and self.is_filtered(info):
                machine.op(CONT, thread.tid)  # the filter will stop it next
            else:
                self.entry(thread, info)

    def _after(self, thread: Thread, result: int) -> None:
        action = self.policy.left(thread, result)
        if action is RESUME:
            self.injector.resume(thread)
        else:
            self.perform(thread, action)

    def is_filtered(self, info: tuple[int, ...]) -> bool:
        """Whether the filter stops a call, whatever its arguments."""
        way, number = self.interfaces.get(info[1]), info[4]
        return way is None or (number in way.stopped and number not in way.only)

    def entry(self, thread: Thread, info: tuple[int, ...], *, filtered: bool = False) -> None:
        """A call begins, for the first time or again. This is the way of each call that is
        stopped: what is not needed is not asked for. ``filtered``: it is past the filter."""
        self.disarm(thread)
        _, arch, pointer, stack, number = info[:5]
        again = thread.step is _AGAIN and thread.number == number and thread.pointer == pointer
        thread.step = _FREE
        if not (thread.followed or thread.process.procfs_fds):
            self.injector.resume(thread)
            return
        way = self.interfaces.get(arch)
        if way is None or number >= seccomp_program.FIRST_X32:
            self.tree.evidence.tell_once(other_calls=thread.program)
            self.injector.resume(thread)
            return
        thread.stack = stack
        if not again:
            thread.arch, thread.number, thread.pointer = arch, number, pointer
            thread.args = info[5:]
            thread.attempts, thread.proven = None, ()
            thread.call = way.calls.get(number)
        thread.began = time.monotonic_ns()  # our own capset was asked about before
        if thread.call is None:
            self.injector.resume(thread)
            return
        thread.step = _CALL
        action = RESUME if again else self.policy.entered(thread)
        if action is not RESUME:
            self.perform(thread, action)
        elif filtered and self._arms(thread, way):
            thread.step = _ARMED
            machine.op(CONT, thread.tid)
        else:
            machine.op(SYSCALL, thread.tid)

    def _arms(self, thread: Thread, way: Interface) -> bool:
        """Whether the thread is to be stopped only if its call fails. That would not stop it while
        it blocks the signal."""
        return (
            self.failing is not None
            and way.arch == self.injector.native
            and thread.number not in way.only
            and self.policy.needs_failure_alone(thread)
            and not machine.blocks(thread.tid, SIGNAL)
            and self.failing.arm(thread.tid, thread.number)
        )
