"""What is done at the beginning and the end of a program's call: which set it runs with, whether
it is made again, and what is learned from it. The stops themselves are ``tracer``'s."""

from __future__ import annotations

import errno
import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from capadvise.linux.retry.arguments import (
    ATTACH,
    PATH_ARG,
    SEIZE,
    SETGID_BIT,
    TRACEME,
    asks_for_set_gid,
    can_mean,
    installs_filter,
    is_silent,
    makes_namespace,
    of_family,
    opens_pseudo,
    sends_nothing,
    subject,
    writes,
)
from capadvise.linux.retry.attempts import Attempts, bit, order
from capadvise.linux.retry.bookkeeping import AF_NETLINK, Changes, follow_descriptors, note
from capadvise.linux.retry.calls import Kind
from capadvise.linux.retry.decode import detail
from capadvise.linux.retry.denied_checks import Denied
from capadvise.linux.retry.thread import FSETID, KEPT, SYS_ADMIN, Thread

if TYPE_CHECKING:
    from capadvise.linux.retry.tracer import Tracer

_ENOUGH = 5
"""After so many equal proofs a capability stays raised for that program."""
_RESTARTS = frozenset({512, 513, 514, 516})
"""ERESTARTSYS and the like: a signal came, and the kernel will make the call again by itself."""
_PERMISSION = (errno.EPERM, errno.EACCES)


class Rules:
    """One for all threads."""

    def __init__(self, tracer: Tracer, plan: dict[str, Any], denied: Denied) -> None:
        self.tracer, self.denied = tracer, denied
        self.evidence = tracer.evidence
        self.in_namespace: bool = plan["in_namespace"]
        """The target's user namespace is ours: what is refused there could be granted outside."""
        self.rows: dict[tuple[str, str], list[int]] = {
            (call, code): caps for (call, code), caps in ((tuple(k), v) for k, v in plan["errnos"])
        }
        self.raised: Counter[str] = Counter()
        self.changes = Changes(tracer, alone=plan["alone"])

    # ------------------------------------------------------------------ before a call

    def entered(self, thread: Thread) -> bool:
        """A call begins. True: it was dealt with, the thread is not to be let go on."""
        assert thread.call is not None
        call, args = thread.call, thread.args
        if call.name in PATH_ARG:
            thread.path = thread.process.text(args[PATH_ARG[call.name]])
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
            full = opens_pseudo(thread) and (is_silent(thread) or writes(thread))
        elif kind is Kind.READ:
            at = 1 if thread.call.name == "sendfile" else 0
            full = thread.process.hot.get(args[at] & 0xFFFFFFFF, False)
        elif kind is Kind.CHMOD:
            return resting & ~bit(FSETID) if asks_for_set_gid(thread) else resting
        elif kind is Kind.SEND:
            full = self.changes.is_netlink(thread)
        elif kind is Kind.SOCKET:
            full = args[0] == AF_NETLINK
        elif kind is Kind.NAMESPACE:
            full = makes_namespace(thread)
        elif kind is Kind.SECCOMP:
            full = not self.tracer.injector.can_suspend and installs_filter(thread)
        return thread.virtual if full else resting

    # ------------------------------------------------------------------ after a call

    def left(self, thread: Thread, result: int) -> None:
        """A call came back: look at it, let the thread go on, or make the call again."""
        if not thread.followed or thread.call is None:
            follow_descriptors(thread, result)
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
        self.changes.made_by(thread, result)
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
            self.tracer.injector.after(thread, mask)

    def _candidates(self, thread: Thread, code: int) -> tuple[int, ...] | None:
        """What to try; None where this error tells of no capability."""
        assert thread.call is not None
        name = errno.errorcode.get(code, "")
        row = self.rows.get((thread.call.name, name))
        if row and thread.call.name in ("bind", "connect"):
            row = of_family(row, thread.process.raw(thread.args[1], 2))
        if not can_mean(thread, code):
            return None
        if row is None and code not in _PERMISSION:
            return None
        denied = self.denied.since(thread.tid, thread.began)
        found = order(row or (), denied, SYS_ADMIN, in_table=row is not None)
        if denied is not None and not found:
            return None if not self.in_namespace else tuple(row or ())
        return found

    def _shown(self, thread: Thread, result: int) -> None:
        """The call went differently with more: that is what it needs."""
        attempts = thread.attempts
        assert attempts is not None
        assert thread.call is not None
        caps = [(cap, attempts.error) for cap in attempts.shown]
        known = {cap for cap, _ in caps}
        caps += [item for item in thread.proven if item[0] not in known]
        how = "shown" if attempts.exact else "one-of"
        if thread.call.kind is Kind.PROBE or sends_nothing(thread):
            how = "probe"
        if not attempts.exact:
            caps = [(cap, attempts.error) for cap in attempts.candidates]
        about = detail(thread.call.name, thread.args, thread.process)
        for cap, code in caps:
            without = errno.errorcode.get(code) if code else None
            others = [other for other, _ in caps if other != cap]
            seen = note(self.evidence, how, cap, thread, about, without, min(result, 0), others)
            if seen >= _ENOUGH and how == "shown":
                self.raised[thread.program] |= bit(cap)
        if not caps:
            self.evidence.tell_once(
                unknown=[thread.program, thread.call.name, errno.errorcode.get(attempts.error)]
            )

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
            first, *others = attempts.candidates
            note(self.evidence, "refused", first, thread, about, name, -attempts.error, others)

    # ------------------------------------------------------------------ set-gid bits

    def _lost_its_bit(self, thread: Thread) -> bool:
        """A chmod that asked for the set-gid bit succeeds without it where FSETID is missing.
        Compare, and make the call again with it."""
        call, attempts = thread.call, thread.attempts
        if call is None or call.kind is not Kind.CHMOD or thread.effective >> FSETID & 1:
            return False
        if not asks_for_set_gid(thread) or not thread.virtual >> FSETID & 1 or thread.pinned:
            return False
        try:
            kept = os.stat(subject(thread)).st_mode & SETGID_BIT
        except OSError:
            kept = 1
        if kept:
            return False
        if attempts is not None:
            thread.proven += tuple((cap, attempts.error) for cap in attempts.shown)
        thread.attempts = Attempts(0, (FSETID,), thread.effective, thread.effective | bit(FSETID))
        mask = thread.attempts.next()
        assert mask is not None
        self.tracer.injector.after(thread, mask)
        return True

    # ------------------------------------------------------------------ targets that trace

    def _in_tree(self, thread: Thread) -> bool:
        return thread.args[0] == TRACEME or thread.args[1] in self.tracer.threads

    def _lets_trace(self, thread: Thread, request: int, pid: int) -> bool:
        """Where every call is stopped anyway, no filter binds the tree to us: let go of what the
        target wants to trace itself."""
        if request == TRACEME:
            self.evidence.tell_once(let_go=thread.program)
            self.tracer.detach(thread)
            return True
        other = self.tracer.threads.get(pid)
        if request in (ATTACH, SEIZE) and other is not None and other is not thread:
            self.evidence.tell_once(let_go=other.program)
            self.tracer.interrupt(other, thread)
            return True
        return False
