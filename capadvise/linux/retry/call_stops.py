"""Stops of a thread at the entry and at the end of a call: what they mean at each step.

This is the way of each call that is stopped, twice: what is not needed is not asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from capadvise.linux.retry import bpf, machine
from capadvise.linux.retry.actions import RESUME, Action
from capadvise.linux.retry.calls import Interface
from capadvise.linux.retry.inject import Injector
from capadvise.linux.retry.machine import CONT, SYSCALL
from capadvise.linux.retry.policy import Policy
from capadvise.linux.retry.thread import CallStep, Thread
from capadvise.linux.retry.tree import Tree


class CallStops:
    """One for all threads."""

    def __init__(
        self,
        tree: Tree,
        interfaces: Mapping[int, Interface],
        injector: Injector,
        policy: Policy,
        perform: Callable[[Thread, Action], None],
    ) -> None:
        self.tree, self.interfaces, self.injector = tree, interfaces, injector
        self.policy, self.perform = policy, perform

    def filtered(self, thread: Thread) -> None:
        """The filter stopped a call at its entry."""
        if thread.step is CallStep.INJECT:
            thread.entered = True
            machine.op(SYSCALL, thread.tid)
        elif thread.step is CallStep.CALL:  # seen at its entry already, without the filter
            machine.op(SYSCALL, thread.tid)
        else:
            self.entry(thread, machine.call_info(thread.tid))

    def left_or_entered(self, thread: Thread) -> None:
        """A call was entered or left."""
        if thread.step is CallStep.CALL:
            thread.step = CallStep.FREE
            action = self.policy.left(thread, machine.result(thread.tid))
            if action is RESUME:
                self.injector.resume(thread)
            else:
                self.perform(thread, action)
        elif thread.step is CallStep.INJECT:
            if thread.entered:
                self.injector.injected(thread, machine.result(thread.tid))
            else:
                thread.entered = True
                machine.op(SYSCALL, thread.tid)
        elif thread.step is CallStep.SKIP:
            self.injector.after(thread, thread.injecting)
        else:
            info = machine.call_info(thread.tid)
            if info[0] != machine.ENTRY:
                self.injector.resume(thread)
            elif not self.tree.every_call and self.is_filtered(info):
                machine.op(CONT, thread.tid)  # the filter will stop it next
            else:
                self.entry(thread, info)

    def is_filtered(self, info: tuple[int, ...]) -> bool:
        """Whether the filter stops a call, whatever its arguments."""
        way, number = self.interfaces.get(info[1]), info[4]
        return way is None or (number in way.stopped and number not in way.only)

    def entry(self, thread: Thread, info: tuple[int, ...]) -> None:
        """A call begins, for the first time or again. This is the way of each call that is
        stopped: what is not needed is not asked for."""
        _, arch, pointer, stack, number = info[:5]
        again = thread.step is CallStep.AGAIN and (thread.number, thread.pointer) == (
            number,
            pointer,
        )
        thread.step = CallStep.FREE
        if not (thread.followed or thread.process.procfs_fds):
            self.injector.resume(thread)
            return
        way = self.interfaces.get(arch)
        if way is None or number >= bpf.FIRST_X32:
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
        thread.step = CallStep.CALL
        action = RESUME if again else self.policy.entered(thread)
        if action is RESUME:
            machine.op(SYSCALL, thread.tid)
        else:
            self.perform(thread, action)
