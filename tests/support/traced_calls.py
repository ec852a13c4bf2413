"""Calls of threads that nobody traces: a policy of EPERM retries decides on them, and /proc is a
table."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from capadvise.catalog import default
from capadvise.observe.retry.bookkeeping import Bookkeeping
from capadvise.observe.retry.calls import HANDLING, Call, Handling
from capadvise.observe.retry.policy import Action, Policy, RetryWith
from capadvise.observe.retry.thread import KEPT, Process, Thread
from capadvise.observe.retry.tree import EvidenceLog, Tree
from tests.support.bpf import six

ALL = (1 << 41) - 1
CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, KILL = 0, 1, 2, 3, 4, 5
SETUID, NET_BIND_SERVICE, NET_ADMIN, SYS_CHROOT, SYS_ADMIN = 7, 10, 12, 18, 21
SETFCAP = 31
ERRNOS = {key: [int(cap) for cap in caps] for key, caps in default().errnos.items()}
AT_FDCWD = 0xFFFFFF9C
NEWNS, NEWUSER, NEWNET = 0x20000, 0x10000000, 0x40000000
PID, HOME = 100, "user:[1]"


@dataclass
class ProcTable:
    """/proc of one process, as a table."""

    memory: dict[int, bytes] = field(default_factory=dict)
    links: dict[int, str] = field(default_factory=dict)
    modes: dict[tuple[int | None, bytes], int] = field(default_factory=dict)
    uid: int = 0
    owner: int = 0
    groups: str = ""
    effective: int = ALL
    permitted: int = ALL
    namespace: str = HOME
    closed: int = 0

    def spare_memory(self, size: int, reach: int) -> int:
        return 0

    def text(self, address: int) -> bytes:
        return self.memory.get(address, b"").partition(b"\0")[0]

    def raw(self, address: int, size: int) -> bytes:
        return self.memory.get(address, b"")[:size]

    def write(self, address: int, data: bytes) -> bool:
        self.memory[address] = data
        return True

    def link(self, fd: int) -> str:
        return self.links.get(fd, "")

    def folder(self, fd: int) -> str:
        return self.link(fd) or f"descriptor {fd}"

    def descriptors(self) -> list[int]:
        return [fd for fd in self.links if fd >= 0]

    def file(self, at: int | None, path: bytes, *, follow: bool = True) -> os.stat_result | None:
        mode = self.modes.get((at, path))
        owners = (0, 0, 0, self.owner, self.owner + 1, 0, 0, 0, 0)
        return None if mode is None else os.stat_result((mode, *owners))

    def has_capabilities(self, at: int | None, path: bytes, *, follow: bool = True) -> bool:
        return path == b"c"

    def status(self, tid: int) -> bytes:
        ids = f"Name:\tUid:\nUid:\t9\t{self.uid}\t9\t9\nGid:\t0\t0\t0\t0\nGroups:\t{self.groups}\n"
        sets = f"CapInh:\t0\nCapPrm:\t{self.permitted:016x}\nCapEff:\t{self.effective:016x}\n"
        return (ids + sets + "CapBnd:\t0\n").encode()

    def user_namespace(self, tid: int) -> str:
        return self.namespace

    def close(self) -> None:
        self.closed += 1


class PolicyRun:
    """A policy, the tree that it decides for, and what it told."""

    def __init__(self, **options: Any) -> None:
        self.told: list[Mapping[str, Any]] = []
        self.tree = Tree(
            EvidenceLog(self.told.append, lambda: 0.0),
            every_call=options.get("every_call", False),
            home=HOME,
            can_suspend=options.get("can_suspend", True),
        )
        denied: list[Any] | None = options.get("denied")

        def refused_since(tid: int, began: int) -> list[int] | None:
            """Of lists, the next one at each question."""
            if not denied or isinstance(denied[0], int):
                return denied
            refused: list[int] = denied.pop(0)
            return refused

        self.bookkeeping = Bookkeeping(self.tree, alone=options.get("alone", True))
        self.policy = Policy(
            self.tree,
            self.bookkeeping,
            ERRNOS,
            refused_since,
            in_namespace=options.get("in_namespace", False),
        )

    def thread(self, call: str, args: Sequence[int] = (), tid: int = PID, **state: Any) -> Thread:
        """A thread that is about to make a call."""
        thread = self.tree.add(tid, state.pop("proc", ProcTable()))
        thread.program, thread.followed = "prog", True
        thread.permitted = thread.virtual = ALL
        thread.effective = KEPT
        for name, value in state.items():
            setattr(thread.process if hasattr(Process, name) else thread, name, value)
        return calling(thread, call, args)

    def finished(self, thread: Thread, *results: int | str) -> list[Action]:
        """What is done after each result; sets change as the tracer changes them."""
        actions = []
        for result in results:
            code = -getattr(errno, result) if isinstance(result, str) else result
            actions.append(self.policy.left(thread, code))
            if isinstance(actions[-1], RetryWith):
                thread.effective = actions[-1].mask
        return actions

    @property
    def facts(self) -> list[tuple[str, int, str | None]]:
        """(how, capability, error without it) of all facts told."""
        facts = [message["fact"] for message in self.told if "fact" in message]
        return [(fact["how"], fact["cap"], fact["errno"]) for fact in facts]

    def said(self, kind: str) -> list[Any]:
        return [message[kind] for message in self.told if kind in message]


def calling(thread: Thread, call: str, args: Sequence[int] = ()) -> Thread:
    thread.call = Call(call, HANDLING.get(call, Handling.PLAIN))
    thread.args = six(*args)
    return thread


def opening(path: bytes, flags: int = 0) -> tuple[str, tuple[int, ...], dict[str, Any]]:
    return "openat", (AT_FDCWD, 500, flags), {"proc": ProcTable({500: path})}
