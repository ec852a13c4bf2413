"""What is done at the beginning and the end of a program's call: which set it runs with, whether
it is made again, and what is learned from it. The stops themselves are ``tracer``'s."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from capadvise.caps import NAMES
from capadvise.linux.retry import netlink
from capadvise.linux.retry.attempts import Attempts, bit, order
from capadvise.linux.retry.calls import SILENT_FILES, Kind
from capadvise.linux.retry.decode import detail
from capadvise.linux.retry.denied import Denied
from capadvise.linux.retry.thread import (
    DAC_OVERRIDE,
    DAC_READ_SEARCH,
    FSETID,
    KEPT,
    SETFCAP,
    SETGID,
    SETUID,
    SYS_ADMIN,
    Thread,
    after_uids,
    is_pseudo,
)

if TYPE_CHECKING:
    from capadvise.linux.retry.tracer import Tracer

_ENOUGH = 5
"""After so many equal proofs a capability stays raised for that program."""
_AF_UNIX = (1).to_bytes(2, sys.byteorder)
_SOCKETS = 4096
"""So many netlink sockets are kept in mind."""
_AT_EMPTY_PATH = 0x1000
_NEWUSER, _AF_NETLINK, _SETGID_BIT = 0x10000000, 16, 0o2000
_PATH_ARG = {"open": 0, "creat": 0, "openat": 1, "openat2": 1, "execve": 0, "execveat": 1}
_RESTARTS = frozenset({512, 513, 514, 516})
"""ERESTARTSYS and the like: a signal came, and the kernel will make the call again by itself."""
_PERMISSION = (errno.EPERM, errno.EACCES)
_TRACEME, _ATTACH, _SEIZE = 0, 16, 0x4206
_SET_SECCOMP, _SET_MODE = 22, (0, 1)


class Rules:
    """One for all threads."""

    def __init__(self, tracer: Tracer, plan: dict[str, Any], denied: Denied) -> None:
        self.tracer, self.denied = tracer, denied
        self.evidence = tracer.evidence
        self.alone: bool = plan["alone"]
        """No observer runs beside us: what no refused call shows is concluded from arguments."""
        self.in_namespace: bool = plan["in_namespace"]
        """The target's user namespace is ours: what is refused there could be granted outside."""
        self.rows: dict[tuple[str, str], list[int]] = {
            (call, code): caps for (call, code), caps in ((tuple(k), v) for k, v in plan["errnos"])
        }
        self.raised: Counter[str] = Counter()
        self.netlink: dict[str, int] = {}
        """Netlink sockets, as /proc shows them, and their protocols."""

    # ------------------------------------------------------------------ before a call

    def entered(self, thread: Thread) -> bool:
        """A call begins. True: it was dealt with, the thread is not to be let go on."""
        assert thread.call is not None
        call, args = thread.call, thread.args
        if call.name in _PATH_ARG:
            thread.path = thread.process.text(args[_PATH_ARG[call.name]])
        if call.kind is Kind.PTRACE and self.tracer.every_call:
            return self._lets_trace(thread, args[0], args[1])
        return False

    def wanted(self, thread: Thread) -> int:
        """The effective set that a call is to run with at first."""
        assert thread.call is not None
        kind, args = thread.call.kind, thread.args
        resting = (KEPT | self.raised[thread.program]) & thread.virtual
        full = False
        if kind is Kind.PLAIN:
            return resting
        if kind is Kind.FULL:
            full = True
        elif kind is Kind.OPEN:
            full = self._opens_pseudo(thread) and (
                os.path.basename(thread.path) in SILENT_FILES or self._writes(thread)
            )
        elif kind is Kind.READ:
            at = 1 if thread.call.name == "sendfile" else 0
            full = thread.process.hot.get(args[at] & 0xFFFFFFFF, False)
        elif kind is Kind.CHMOD:
            mode = args[1 if thread.call.name in ("chmod", "fchmod") else 2]
            return resting & ~bit(FSETID) if mode & _SETGID_BIT else resting
        elif kind is Kind.SEND:
            full = self._is_netlink(thread)
        elif kind is Kind.SOCKET:
            full = args[0] == _AF_NETLINK
        elif kind is Kind.NAMESPACE:
            full = self.makes_namespace(thread)
        elif kind is Kind.SECCOMP:
            full = not self.tracer.can_suspend and self._installs_filter(thread)
        return thread.virtual if full else resting

    def makes_namespace(self, thread: Thread) -> bool:
        """Whether its present call makes, or enters, a user namespace."""
        if thread.call is None or thread.call.kind is not Kind.NAMESPACE:
            return False
        name, args = thread.call.name, thread.args
        if name in ("fork", "vfork"):
            return False
        if name == "clone3":
            flags = int.from_bytes(thread.process.raw(args[0], 8), "little")
        else:
            flags = args[1 if name == "setns" else 0]
        return bool(flags & _NEWUSER) or (name == "setns" and not flags & 0xFFFFFFFF)

    def _opens_pseudo(self, thread: Thread) -> bool:
        """Whether an open is of a file below /proc or /sys."""
        path = thread.path
        if path.startswith(b"/"):
            return path.startswith((b"/proc/", b"/sys/")) or path in (b"/proc", b"/sys")
        if thread.process.in_pseudo:
            return True
        at = thread.args[0] & 0xFFFFFFFF if thread.call and "at" in thread.call.name else -1
        return at in thread.process.hot

    @staticmethod
    def _writes(thread: Thread) -> bool:
        assert thread.call is not None
        name, args = thread.call.name, thread.args
        if name == "openat2":
            return bool(int.from_bytes(thread.process.raw(args[2], 8), "little") & 3)
        return name == "creat" or bool(args[1 if name == "open" else 2] & 3)

    def _is_netlink(self, thread: Thread) -> bool:
        return bool(self.netlink) and self._link(thread, thread.args[0]) in self.netlink

    @staticmethod
    def _link(thread: Thread, fd: int) -> str:
        with suppress(OSError):
            return os.readlink(thread.process.fd_path(fd & 0xFFFFFFFF))
        return ""

    @staticmethod
    def _installs_filter(thread: Thread) -> bool:
        assert thread.call is not None
        if thread.call.name == "prctl":
            return thread.args[0] == _SET_SECCOMP
        return thread.args[0] in _SET_MODE

    # ------------------------------------------------------------------ after a call

    def left(self, thread: Thread, result: int) -> None:
        """A call came back: look at it, let the thread go on, or make the call again."""
        if not thread.followed or thread.call is None:
            self._follow_descriptors(thread, result)
            self.tracer.go_on(thread)
            return
        if -4096 < result < 0:
            self._failed(thread, -result)
            return
        if self._lost_its_bit(thread):
            return
        if thread.attempts is not None:
            self._shown(thread, result)
        elif self.raised[thread.program]:
            self.evidence.ran_raised(thread.program, thread.call.name)
        self._succeeded(thread, result)
        self.tracer.go_on(thread)

    def _failed(self, thread: Thread, code: int) -> None:
        """Try again with more, or accept it."""
        attempts = thread.attempts
        if code in _RESTARTS:
            thread.attempts = None
            self.tracer.go_on(thread)
            return
        if attempts is None or code != attempts.error:
            row = self._candidates(thread, code)
            if attempts is not None and row is None:  # with more, it comes to something else
                self._shown(thread, -code)
                self.tracer.go_on(thread)
                return
            if row is None or thread.pinned:
                self.tracer.go_on(thread)
                return
            assert thread.call is not None
            if attempts is not None and attempts.exact:
                thread.proven += tuple((cap, attempts.error) for cap in attempts.shown)
            attempts = thread.attempts = Attempts(
                code,
                row,
                thread.effective,
                thread.virtual,
                capture=thread.call.kind is Kind.CAPTURE and len(row) == 1,
            )
        mask = attempts.next()
        if mask is None:
            self._refused(thread, attempts)
            self.tracer.go_on(thread)
        else:
            thread.began = time.monotonic_ns()
            self.tracer.inject(thread, mask)

    def _candidates(self, thread: Thread, code: int) -> tuple[int, ...] | None:
        """What to try; None where this error tells of no capability."""
        assert thread.call is not None
        name = errno.errorcode.get(code, "")
        row = self.rows.get((thread.call.name, name))
        if row and thread.call.name in ("bind", "connect"):
            row = of_family(row, thread.process.raw(thread.args[1], 2))
        if not self._can_mean(thread, code):
            return None
        if row is None and code not in _PERMISSION:
            return None
        denied = self.denied.since(thread.tid, thread.began)
        found = order(row or (), denied, SYS_ADMIN, in_table=row is not None)
        if denied is not None and not found:
            return None if not self.in_namespace else tuple(row or ())
        return found

    @staticmethod
    def _can_mean(thread: Thread, code: int) -> bool:
        """Whether these arguments can have been refused with this error: two that are frequent
        and mean something else nearly always."""
        assert thread.call is not None
        if code == errno.ENODATA:
            return thread.process.text(thread.args[1]).startswith(b"trusted.")
        if code == errno.ENOENT and thread.call.name == "linkat":
            return bool(thread.args[4] & _AT_EMPTY_PATH)
        return True

    def _shown(self, thread: Thread, result: int) -> None:
        """The call went differently with more: that is what it needs."""
        attempts = thread.attempts
        assert attempts is not None
        assert thread.call is not None
        caps = [(cap, attempts.error) for cap in attempts.shown]
        known = {cap for cap, _ in caps}
        caps += [item for item in thread.proven if item[0] not in known]
        how = "shown" if attempts.exact else "one-of"
        if thread.call.kind is Kind.PROBE or self._sends_nothing(thread):
            how = "probe"
        if not attempts.exact:
            caps = [(cap, attempts.error) for cap in attempts.candidates]
        about = detail(thread.call.name, thread.args, thread.process)
        for cap, code in caps:
            seen = self.evidence.note(
                how,
                cap,
                thread.program,
                thread.call.name,
                about,
                errno=errno.errorcode.get(code) if code else None,
                result=min(result, 0),
                together=[other for other, _ in caps if other != cap],
                pid=thread.process.pid,
                uid=thread.uid,
                at=time.time(),
            )
            if seen >= _ENOUGH and how == "shown":
                self.raised[thread.program] |= bit(cap)
        if not caps:
            self.evidence.tell_once(
                unknown=[thread.program, thread.call.name, errno.errorcode.get(attempts.error)]
            )

    @staticmethod
    def _sends_nothing(thread: Thread) -> bool:
        """Signal 0: whether a process is there, which a refusal says too."""
        assert thread.call is not None
        at = {"kill": 1, "tkill": 1, "tgkill": 2}.get(thread.call.name)
        return at is not None and thread.args[at] & 0xFFFFFFFF == 0

    def _refused(self, thread: Thread, attempts: Attempts) -> None:
        """Nothing helped: the program gets the error that it would get with all it has."""
        assert thread.call is not None
        name = errno.errorcode.get(attempts.error, str(attempts.error))
        if attempts.error in _PERMISSION:
            self.tracer.refusals[thread.call.name, name, thread.program] += 1
        if thread.call.kind is Kind.PTRACE and self._in_tree(thread):
            self.evidence.tell_once(traces=thread.program)
            return
        if self.in_namespace and attempts.candidates and attempts.error in _PERMISSION:
            about = detail(thread.call.name, thread.args, thread.process)
            self.evidence.note(
                "refused",
                attempts.candidates[0],
                thread.program,
                thread.call.name,
                about,
                errno=name,
                result=-attempts.error,
                together=list(attempts.candidates[1:]),
                pid=thread.process.pid,
                uid=thread.uid,
                at=time.time(),
            )

    def _concluded(self, thread: Thread, cap: int, about: str | None) -> None:
        """No refusal can show it: the arguments tell."""
        assert thread.call is not None
        if self.alone and thread.virtual >> cap & 1:
            self.evidence.note(
                "asked",
                cap,
                thread.program,
                thread.call.name,
                about,
                errno=None,
                result=0,
                together=[],
                pid=thread.process.pid,
                uid=thread.uid,
                at=time.time(),
            )

    # ------------------------------------------------------------------ what a success changes

    def _succeeded(self, thread: Thread, result: int) -> None:
        assert thread.call is not None
        kind = thread.call.kind
        if kind is Kind.PLAIN:
            return
        if kind is Kind.OPEN:
            if self._opens_pseudo(thread):
                silent = os.path.basename(thread.path) in SILENT_FILES
                thread.process.hot[result] = silent
        elif kind is Kind.CHDIR:
            thread.process.in_pseudo = is_pseudo(thread.process.folder(-1))
        elif kind is Kind.DESCRIPTOR:
            self._follow_descriptors(thread, result)
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
            if thread.args[0] == _AF_NETLINK:
                self.netlink[self._link(thread, result)] = thread.args[2] & 0xFFFF
                if len(self.netlink) > _SOCKETS:
                    self.netlink.pop(next(iter(self.netlink)))
        elif kind is Kind.SEND:
            self._sent(thread)
        elif kind is Kind.FULL:
            self._full(thread, result)
        elif kind is Kind.NAMESPACE:
            self._namespace(thread)
        elif kind is Kind.SECCOMP and self._installs_filter(thread):
            self._filtered(thread)

    def _follow_descriptors(self, thread: Thread, result: int) -> None:
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
        if fd in hot and (
            name.startswith("dup") or (name == "fcntl" and thread.args[1] in (0, 1030))
        ):
            hot[result] = hot[fd]

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
        if not self.alone or not self._is_netlink(thread):
            return
        protocol = self.netlink[self._link(thread, thread.args[0])]
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
        if not self.makes_namespace(thread):
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
                if not self.tracer.can_suspend:
                    other.pinned = True

    # ------------------------------------------------------------------ set-gid bits

    def _lost_its_bit(self, thread: Thread) -> bool:
        """A chmod that asked for the set-gid bit succeeds without it where FSETID is missing.
        Compare, and make the call again with it."""
        call, attempts = thread.call, thread.attempts
        if call is None or call.kind is not Kind.CHMOD or thread.effective >> FSETID & 1:
            return False
        mode = thread.args[1 if call.name in ("chmod", "fchmod") else 2]
        if not mode & _SETGID_BIT or not thread.virtual >> FSETID & 1 or thread.pinned:
            return False
        try:
            kept = os.stat(self._subject(thread)).st_mode & _SETGID_BIT
        except OSError:
            kept = 1
        if kept:
            return False
        if attempts is not None:
            thread.proven += tuple((cap, attempts.error) for cap in attempts.shown)
        thread.attempts = Attempts(0, (FSETID,), thread.effective, thread.effective | bit(FSETID))
        mask = thread.attempts.next()
        assert mask is not None
        self.tracer.inject(thread, mask)
        return True

    @staticmethod
    def _subject(thread: Thread) -> str:
        assert thread.call is not None
        pid, args = thread.process.pid, thread.args
        if thread.call.name == "fchmod":
            return thread.process.fd_path(args[0] & 0xFFFFFFFF)
        at = -1 if thread.call.name == "chmod" else args[0] & 0xFFFFFFFF
        path = os.fsdecode(thread.process.text(args[0 if at == -1 else 1]))
        if path.startswith("/"):
            return f"/proc/{pid}/root{path}"
        folder = f"/proc/{pid}/cwd" if at in (-1, 0xFFFFFF9C) else thread.process.fd_path(at)
        return f"{folder}/{path}"

    # ------------------------------------------------------------------ targets that trace

    def _in_tree(self, thread: Thread) -> bool:
        return thread.args[0] == _TRACEME or thread.args[1] in self.tracer.threads

    def _lets_trace(self, thread: Thread, request: int, pid: int) -> bool:
        """Where every call is stopped anyway, no filter binds the tree to us: let go of what the
        target wants to trace itself."""
        if request == _TRACEME:
            self.evidence.tell_once(let_go=thread.program)
            self.tracer.detach(thread)
            return True
        other = self.tracer.threads.get(pid)
        if request in (_ATTACH, _SEIZE) and other is not None and other is not thread:
            self.evidence.tell_once(let_go=other.program)
            self.tracer.interrupt(other, thread)
            return True
        return False


def thread_memory(thread: Thread) -> Any:
    """What ``decode`` asks."""
    return thread.process


def of_family(row: list[int], family: bytes) -> list[int]:
    """What of a row can be meant for an address: only that of a Unix socket has a path, and only
    the others have ports."""
    paths = (DAC_OVERRIDE, DAC_READ_SEARCH)
    return [cap for cap in row if (cap in paths) is (family == _AF_UNIX)] or row


def sent(thread: Thread) -> bytes:
    """The beginning of the message that a send call carries."""
    assert thread.call is not None
    memory, args = thread.process, thread.args
    if thread.call.name == "sendto":
        return memory.raw(args[1], min(args[2], 4096))
    header = memory.raw(args[1], 56)  # struct msghdr, also at the start of mmsghdr
    vector = memory.raw(int.from_bytes(header[16:24], "little"), 16)
    return memory.raw(
        int.from_bytes(vector[:8], "little"), min(int.from_bytes(vector[8:], "little"), 4096)
    )
