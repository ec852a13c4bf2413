"""What a call that succeeded changes: sets, users, descriptors, sockets, filters, namespaces."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from capadvise.caps import NAMES
from capadvise.linux.retry import netlink
from capadvise.linux.retry.arguments import (
    installs_filter,
    is_silent,
    link,
    makes_namespace,
    opens_pseudo,
    sent,
)
from capadvise.linux.retry.calls import Kind
from capadvise.linux.retry.decode import detail
from capadvise.linux.retry.evidence import Evidence
from capadvise.linux.retry.thread import (
    SETFCAP,
    SETGID,
    SETUID,
    Thread,
    after_uids,
    is_pseudo,
)

if TYPE_CHECKING:
    from capadvise.linux.retry.tracer import Tracer

AF_NETLINK = 16
_SOCKETS = 4096
"""So many netlink sockets are kept in mind."""


def note(
    evidence: Evidence,
    how: str,
    cap: int,
    thread: Thread,
    about: str | None,
    without: str | None,
    result: int,
    others: Sequence[int],
) -> int:
    """Tell one fact about a thread's present call; how often it was seen. ``without``: the error
    without the capability."""
    assert thread.call is not None
    return evidence.note(
        how,
        cap,
        thread.program,
        thread.call.name,
        about,
        errno=without,
        result=result,
        together=list(others),
        pid=thread.process.pid,
        uid=thread.uid,
        at=time.time(),
    )


class Changes:
    """One for all threads."""

    def __init__(self, tracer: Tracer, *, alone: bool) -> None:
        self.tracer, self.evidence = tracer, tracer.evidence
        self.alone = alone
        """No observer runs beside us: what no refused call shows is concluded from arguments."""
        self.netlink: dict[str, int] = {}
        """Netlink sockets, as /proc shows them, and their protocols."""

    def is_netlink(self, thread: Thread) -> bool:
        """Whether a send goes to the kernel."""
        return bool(self.netlink) and link(thread, thread.args[0]) in self.netlink

    def _concluded(self, thread: Thread, cap: int, about: str | None) -> None:
        """No refusal can show it: the arguments tell."""
        assert thread.call is not None
        if self.alone and thread.virtual >> cap & 1:
            note(self.evidence, "asked", cap, thread, about, None, 0, [])

    def made_by(self, thread: Thread, result: int) -> None:
        """Take note of what a call that succeeded has changed."""
        assert thread.call is not None
        kind = thread.call.kind
        if kind is Kind.PLAIN:
            return
        if kind is Kind.OPEN:
            if opens_pseudo(thread):
                thread.process.hot[result] = is_silent(thread)
        elif kind is Kind.CHDIR:
            thread.process.in_pseudo = is_pseudo(thread.process.folder(-1))
        elif kind is Kind.DESCRIPTOR:
            follow_descriptors(thread, result)
        elif kind is Kind.UIDS:
            before, uid = thread.effective, thread.uid
            self.tracer.look(thread)
            thread.virtual = after_uids(
                thread.virtual, thread.permitted, before, thread.effective, uid, thread.uid
            )
        elif kind is Kind.CAPSET:
            self._own_set(thread)
        elif kind is Kind.CAPGET:
            self._show_virtual(thread)
        elif kind is Kind.SOCKET:
            if thread.args[0] == AF_NETLINK:
                self.netlink[link(thread, result)] = thread.args[2] & 0xFFFF
                if len(self.netlink) > _SOCKETS:
                    self.netlink.pop(next(iter(self.netlink)))
        elif kind is Kind.SEND:
            self._sent(thread)
        elif kind is Kind.FULL:
            self._full(thread, result)
        elif kind is Kind.NAMESPACE:
            self._namespace(thread)
        elif kind is Kind.SECCOMP and installs_filter(thread):
            self._filtered(thread)

    def _own_set(self, thread: Thread) -> None:
        """The program's own capset: what it asks for is what it believes to have."""
        self.tracer.look(thread)
        thread.virtual = thread.effective
        self.evidence.tell_once(own_set=[thread.program, thread.permitted])

    def _show_virtual(self, thread: Thread) -> None:
        """Let capget say what the program would see without us."""
        memory, (header, data) = thread.process, thread.args[:2]
        raw = memory.raw(header, 8)
        if len(raw) < 8 or not data:
            return
        pid = int.from_bytes(raw[4:], "little")
        other = self.tracer.threads.get(pid) if pid else thread
        if other is None or not other.followed:
            return
        self.evidence.tell_once(looked=thread.program)
        memory.write(data, (other.virtual & 0xFFFFFFFF).to_bytes(4, "little"))
        if int.from_bytes(raw[:4], "little") != 0x19980330:  # the first version: 32 bits
            memory.write(data + 12, (other.virtual >> 32).to_bytes(4, "little"))

    def _sent(self, thread: Thread) -> None:
        if not self.alone or not self.is_netlink(thread):
            return
        protocol = self.netlink[link(thread, thread.args[0])]
        found = netlink.wanted(protocol, sent(thread))
        if found is not None:
            self._concluded(thread, NAMES.index(found[0]), found[1])

    def _full(self, thread: Thread, result: int) -> None:
        assert thread.call is not None
        name = thread.call.name
        if name.startswith("io_uring"):
            self.evidence.tell_once(io_uring=True)
        elif name.startswith("setfs"):
            self.tracer.look(thread)
            thread.virtual = thread.effective
            wanted = thread.args[0] & 0xFFFFFFFF
            if wanted != result and wanted != 0xFFFFFFFF:
                cap = SETUID if name == "setfsuid" else SETGID
                self._concluded(thread, cap, detail(name, thread.args, thread.process))

    def _namespace(self, thread: Thread) -> None:
        assert thread.call is not None
        if not makes_namespace(thread):
            return
        if thread.uid == 0 and thread.call.name != "setns":
            self._concluded(thread, SETFCAP, "a user namespace, to map root into it")
        if thread.call.name in ("unshare", "setns"):
            thread.followed = not self._is_elsewhere(thread)

    def _is_elsewhere(self, thread: Thread) -> bool:
        try:
            return os.readlink(f"/proc/{thread.tid}/ns/user") != self.tracer.home
        except OSError:
            return True

    def _filtered(self, thread: Thread) -> None:
        """It has a filter of its own now; with TSYNC all its threads have."""
        assert thread.call is not None
        everyone = thread.call.name == "seccomp" and thread.args[1] & 1
        for other in self.tracer.threads.values():
            if other is thread or (everyone and other.process is thread.process):
                other.filtered = True
                if not self.tracer.injector.can_suspend:
                    other.pinned = True


def follow_descriptors(thread: Thread, result: int) -> None:
    """Which descriptors lead to files below /proc and /sys."""
    hot = thread.process.hot
    if not hot or thread.call is None or result < 0:
        return
    name, fd = thread.call.name, thread.args[0] & 0xFFFFFFFF
    if name == "close":
        hot.pop(fd, None)
    elif name == "close_range":
        for number in [n for n in hot if fd <= n <= thread.args[1] & 0xFFFFFFFF]:
            del hot[number]
    elif name in ("dup2", "dup3"):
        hot.pop(result, None)
    if fd in hot and (name.startswith("dup") or (name == "fcntl" and thread.args[1] in (0, 1030))):
        hot[result] = hot[fd]
