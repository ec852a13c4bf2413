"""The state that successful calls change: sets, users, descriptors, sockets, filters, namespaces.

Pure: /proc is read through ``Process.proc``."""

import struct
from collections.abc import Callable, Iterator
from typing import Any

from capadvise.kernel.uapi import LINUX_CAPABILITY_VERSION_1
from capadvise.model.caps import NAMES
from capadvise.observe.retry.arguments import (
    installs_filter,
    is_silent,
    link,
    makes_listener,
    makes_namespace,
    opens_pseudo,
    sent,
)
from capadvise.observe.retry.calls import Handling
from capadvise.observe.retry.decode import detail
from capadvise.observe.retry.thread import SETFCAP, SETGID, SETUID, Thread, after_uids, is_pseudo
from capadvise.observe.retry.tree import EvidenceLog, Tree

ROUTE, XFRM, AUDIT, NETFILTER = 0, 6, 9, 12
_HEADER = struct.Struct("=IHHII")
_NAMES = {16: "NEWLINK", 20: "NEWADDR", 24: "NEWROUTE", 28: "NEWNEIGH", 32: "NEWRULE"}
_NAMES |= {36: "NEWQDISC", 40: "NEWTCLASS", 44: "NEWTFILTER"}
_VERBS = ("NEW", "DEL", "GET", "SET")


def capability_wanted(protocol: int, message: bytes) -> tuple[str, str] | None:
    """(capability without CAP_, reason) of the first message in a netlink request that needs one.
    The refusal is inside the kernel's answer, so that no call fails. Except for the generic family,
    the kernel decides by the protocol and the type of the message alone, as this does
    (rtnetlink_rcv_msg, nfnetlink_rcv, xfrm_user_rcv_msg, audit_netlink_ok; Linux 5.10 to 7.2)."""
    for kind in _types(message):
        if protocol == ROUTE and kind >= 16 and kind % 4 != 2:
            name = _NAMES.get(kind - kind % 4, "")
            return "NET_ADMIN", "RTM_" + (_VERBS[kind % 4] + name[3:] if name else str(kind))
        if protocol in (NETFILTER, XFRM) and kind >= 16:
            return "NET_ADMIN", "netfilter" if protocol == NETFILTER else "IPsec"
        if protocol == AUDIT and kind >= 1000:
            user = 1100 <= kind < 1200 or 2100 <= kind < 3000 or kind == 1005
            return ("AUDIT_WRITE" if user else "AUDIT_CONTROL"), f"audit message {kind}"
    return None


def _types(message: bytes) -> Iterator[int]:
    at = 0
    while at + _HEADER.size <= len(message):
        length, kind, *_ = _HEADER.unpack_from(message, at)
        yield kind
        if length < _HEADER.size:
            return
        at += (length + 3) & ~3


AF_NETLINK = 16
_SOCKETS = 4096
"""The most netlink sockets that are remembered."""


def note(
    evidence: EvidenceLog, how: str, cap: int, thread: Thread, about: str | None, **more: Any
) -> int:
    """Note one fact about a thread's present call, as ``EvidenceLog.note`` does."""
    ids = {"pid": thread.process.pid, "uid": thread.uid}
    return evidence.note(how, cap, thread.program, thread.present.name, about, **more, **ids)


class Bookkeeping:
    """One for all threads."""

    def __init__(self, tree: Tree, *, alone: bool) -> None:
        self.tree, self.evidence = tree, tree.evidence
        self.alone = alone
        """No observer runs beside us: needs that no refused call shows are inferred from
        arguments."""
        self.netlink: dict[str, int] = {}
        """Netlink sockets, as /proc shows them, and their protocols."""
        self._after: dict[Handling, Callable[[Thread, int], None]] = {
            Handling.OPEN: self._opened,
            Handling.CHDIR: self._changed_directory,
            Handling.DESCRIPTOR: follow_descriptors,
            Handling.UIDS: self._switched_user,
            Handling.CAPSET: self._own_set,
            Handling.CAPGET: self._show_virtual,
            Handling.SOCKET: self._made_socket,
            Handling.SEND: self._sent,
            Handling.FULL: self._full,
            Handling.NAMESPACE: self._namespace,
            Handling.SECCOMP: self._filtered,
        }

    def is_netlink(self, thread: Thread) -> bool:
        """True if it sends to the kernel."""
        return bool(self.netlink) and link(thread, thread.args[0]) in self.netlink

    def is_last_change(self, thread: Thread) -> bool:
        """True if it installs a filter under which its sets cannot be changed, or its calls do not
        stop."""
        return installs_filter(thread) and (not self.tree.can_suspend or makes_listener(thread))

    def succeeded(self, thread: Thread, result: int) -> None:
        """Note the changes that a call made."""
        if (after := self._after.get(thread.present.handling)) is not None:
            after(thread, result)

    def _infer(self, thread: Thread, cap: int, about: str | None) -> None:
        """Note a need that only the arguments show, since no call fails."""
        if self.alone and thread.virtual >> cap & 1:
            more: dict[str, Any] = {"errno": None, "result": 0, "together": [], "changes": True}
            note(self.evidence, "asked", cap, thread, about, **more)

    def _opened(self, thread: Thread, result: int) -> None:
        if opens_pseudo(thread):
            thread.process.procfs_fds[result] = is_silent(thread)

    def _changed_directory(self, thread: Thread, _: int) -> None:
        thread.process.in_pseudo = is_pseudo(thread.process.proc.link(-1))

    def _switched_user(self, thread: Thread, _: int) -> None:
        before, uid = thread.effective, thread.uid
        thread.reload()
        thread.virtual = after_uids(
            thread.virtual, thread.permitted, before, thread.effective, uid, thread.uid
        )

    def _own_set(self, thread: Thread, _: int) -> None:
        """After the program's own capset, its virtual set is what it asked for."""
        thread.reload()
        thread.virtual, thread.handed = thread.effective, thread.permitted
        self.evidence.send_once(own_set=[thread.program, thread.permitted])

    def executes(self, thread: Thread) -> None:
        """Report the set that it set last: that was for the program that it executes."""
        if thread.handed and thread.followed:
            self.evidence.send_once(handed=[thread.program, thread.handed])
        thread.handed = 0

    def _show_virtual(self, thread: Thread, _: int) -> None:
        """Let capget return what the program would see without us."""
        proc, (header, data) = thread.process.proc, thread.args[:2]
        raw = proc.raw(header, 8)
        if len(raw) < 8 or not data:
            return
        pid = int.from_bytes(raw[4:], "little")
        other = self.tree.threads.get(pid) if pid else thread
        if other is None or not other.followed:
            return
        self.evidence.send_once(looked=thread.program)
        proc.write(data, (other.virtual & 0xFFFFFFFF).to_bytes(4, "little"))
        if int.from_bytes(raw[:4], "little") != LINUX_CAPABILITY_VERSION_1:
            proc.write(data + 12, (other.virtual >> 32).to_bytes(4, "little"))

    def _made_socket(self, thread: Thread, result: int) -> None:
        if thread.args[0] == AF_NETLINK:
            self.netlink[link(thread, result)] = thread.args[2] & 0xFFFF
            if len(self.netlink) > _SOCKETS:
                self.netlink.pop(next(iter(self.netlink)))

    def _sent(self, thread: Thread, _: int) -> None:
        if not self.alone or not self.is_netlink(thread):
            return
        protocol = self.netlink[link(thread, thread.args[0])]
        wanted = capability_wanted(protocol, sent(thread))
        if wanted is not None:
            self._infer(thread, NAMES.index(wanted[0]), wanted[1])

    def _full(self, thread: Thread, result: int) -> None:
        name = thread.present.name
        if name.startswith("io_uring"):
            self.evidence.send_once(io_uring=True)
        elif name.startswith("setfs"):
            thread.reload()
            thread.virtual = thread.effective
            wanted = thread.args[0] & 0xFFFFFFFF
            if wanted != result and wanted != 0xFFFFFFFF:
                cap = SETUID if name == "setfsuid" else SETGID
                self._infer(thread, cap, detail(name, thread.args, thread.process.proc))

    def _namespace(self, thread: Thread, _: int) -> None:
        if not makes_namespace(thread):
            return
        if thread.uid == 0 and thread.present.name != "setns":
            self._infer(thread, SETFCAP, "a user namespace, to map root into it")
        if thread.present.name in ("unshare", "setns"):
            there = thread.process.proc.user_namespace(thread.tid)
            thread.followed = there == self.tree.home

    def _filtered(self, thread: Thread, _: int) -> None:
        """Note that it has a filter of its own now; with TSYNC all threads of its process have."""
        if not installs_filter(thread):
            return
        everyone = thread.present.name == "seccomp" and thread.args[1] & 1
        if makes_listener(thread):
            self.evidence.send_once(listener=thread.program)
        for other in self.tree.threads.values():
            if other is thread or (everyone and other.process is thread.process):
                other.filtered = True
                other.injection_disabled |= self.is_last_change(thread)


def follow_descriptors(thread: Thread, result: int) -> None:
    """Keep track of the descriptors of files below /proc and /sys."""
    fds = thread.process.procfs_fds
    if not fds or thread.call is None or result < 0:
        return
    name, fd = thread.call.name, thread.args[0] & 0xFFFFFFFF
    if name == "close":
        fds.pop(fd, None)
    elif name == "close_range":
        for number in [n for n in fds if fd <= n <= thread.args[1] & 0xFFFFFFFF]:
            del fds[number]
    elif name in ("dup2", "dup3"):
        fds.pop(result, None)
    if fd in fds and (name.startswith("dup") or (name == "fcntl" and thread.args[1] in (0, 1030))):
        fds[result] = fds[fd]
