"""The decisions at the beginning and the end of a program's call: the set it runs with, if it is
made again, and what it shows.

Pure: it returns an ``Action``, and the tracer carries that out."""

import errno
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from capadvise.observe.retry.arguments import (
    ATTACH,
    PATH_ARG,
    SEIZE,
    SETGID_BIT,
    TRACEME,
    asks_for_set_gid,
    can_mean,
    changes_nothing,
    is_silent,
    makes_namespace,
    mode_now,
    of_family,
    opens_pseudo,
    sends_nothing,
    writes,
)
from capadvise.observe.retry.bookkeeping import AF_NETLINK, Bookkeeping, follow_descriptors, note
from capadvise.observe.retry.calls import Handling
from capadvise.observe.retry.decode import detail
from capadvise.observe.retry.thread import FSETID, KEPT, SYS_ADMIN, Attempts, Thread, bit, order
from capadvise.observe.retry.tree import Tree


@dataclass(frozen=True, slots=True)
class Resume:
    """Resume the thread."""


@dataclass(frozen=True, slots=True)
class BeginWith:
    """Let the call that the thread is about to enter begin with this effective set."""

    mask: int


@dataclass(frozen=True, slots=True)
class RetryWith:
    """Make the call that the thread returned from again, with this effective set."""

    mask: int


@dataclass(frozen=True, slots=True)
class Detach:
    """Detach from the thread: another one is to trace it."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Stop another thread, detach from it, then resume this one."""

    thread: Thread


Action = Resume | BeginWith | RetryWith | Detach | Interrupt
RESUME = Resume()


ENOUGH = 5
"""The number of equal proofs after which a capability stays raised for that program."""
_RESTARTS = frozenset({512, 513, 514, 516})
"""ERESTARTSYS and its variants: a signal came, and the kernel will make the call again by
itself."""
_PERMISSION = (errno.EPERM, errno.EACCES)
_TELL_BY_FAILURE = frozenset({Handling.PLAIN, Handling.OPEN})
_FREQUENT = frozenset({"ENOENT", "EINVAL", "EAGAIN"})
"""Errors that nearly always mean something else: calls that can be refused with them are examined
whenever they end."""


def telling_errors(errnos: Iterable[tuple[str, str]]) -> frozenset[int]:
    """The errors after which a call that is stopped only at its failure is examined."""
    names = {error for _, error in errnos} - _FREQUENT
    return frozenset(getattr(errno, name) for name in names).union(_PERMISSION)


class Policy:
    """One for all threads."""

    def __init__(
        self,
        tree: Tree,
        bookkeeping: Bookkeeping,
        errnos: Mapping[tuple[str, str], Sequence[int]],
        refused_since: Callable[[int, int], list[int] | None],
        *,
        in_namespace: bool,
    ) -> None:
        """``errnos``: (call, error) → the capabilities that can have been missing.
        ``refused_since``: see ``tracer.RefusedChecks.since``. ``in_namespace``: the target's user
        namespace is ours: a capability that is refused there could be granted outside."""
        self.tree, self.bookkeeping, self.evidence = tree, bookkeeping, tree.evidence
        self.errnos, self.refused_since = errnos, refused_since
        self.in_namespace = in_namespace
        self._tell_otherwise = {call for call, error in errnos if error in _FREQUENT}
        self.raised: dict[str, int] = {}
        """Program → the capabilities that stay raised for it."""
        self.idle: dict[tuple[str, str], int] = {}
        """Program and call → the capabilities raised if the call would change nothing."""

    # ------------------------------------------------------------------ before a call

    def entered(self, thread: Thread) -> Action:
        """A call begins: RESUME, or the set with which it is to begin."""
        call, args = thread.present, thread.args
        if (at := PATH_ARG.get(call.name)) is not None:
            thread.path = thread.process.proc.text(args[at])
        if self.tree.every_call and call.handling is Handling.PTRACE:
            action = self._lets_trace(thread, args[0], args[1])
            if action is not RESUME:
                return action
        if not thread.followed or thread.injection_disabled:
            return RESUME
        mask = self.first_mask(thread)
        return RESUME if mask == thread.effective else BeginWith(mask)

    def first_mask(self, thread: Thread) -> int:
        """The effective set that a call is to run with at first."""
        resting = (KEPT | self.raised.get(thread.program, 0)) & thread.virtual
        handling = thread.present.handling
        if handling is Handling.PLAIN:
            idle = self.idle.get((thread.program, thread.present.name), 0) & thread.virtual
            return resting | idle if idle and changes_nothing(thread) else resting
        if handling is Handling.CHMOD:
            return resting & ~bit(FSETID) if asks_for_set_gid(thread) else resting
        return thread.virtual if self._runs_full(thread, handling) else resting

    def needs_failure_alone(self, thread: Thread) -> bool:
        """True if a success of the call that begins would show nothing."""
        if (
            thread.present.handling not in _TELL_BY_FAILURE
            or thread.present.name in self._tell_otherwise
        ):
            return False
        return (
            thread.followed
            and thread.attempts is None
            and not thread.injection_disabled
            and not thread.process.procfs_fds
            and not (thread.present.handling is Handling.OPEN and opens_pseudo(thread))
        )

    def _runs_full(self, thread: Thread, handling: Handling) -> bool:
        """True if a refusal would be silent, so that the call must run with the program's own
        set."""
        match handling:
            case Handling.FULL:
                return True
            case Handling.OPEN:
                return opens_pseudo(thread) and (is_silent(thread) or writes(thread))
            case Handling.READ:
                at = 1 if thread.present.name == "sendfile" else 0
                return thread.process.procfs_fds.get(thread.args[at] & 0xFFFFFFFF, False)
            case Handling.SEND:
                return self.bookkeeping.is_netlink(thread)
            case Handling.SOCKET:
                return thread.args[0] == AF_NETLINK
            case Handling.NAMESPACE:
                return makes_namespace(thread)
            case Handling.SECCOMP:
                return self.bookkeeping.is_last_change(thread)
        return False

    # ------------------------------------------------------------------ after a call

    def left(self, thread: Thread, result: int) -> Action:
        """A call has returned: RESUME, or the set with which it is to be made again."""
        if not thread.followed or thread.call is None:
            follow_descriptors(thread, result)
            return RESUME
        if -4096 < result < 0:
            return self._failed(thread, -result)
        if thread.call.handling is Handling.CHMOD and self._lost_its_bit(thread):
            return self._with_its_bit(thread)
        if thread.attempts is not None:
            self._shown(thread, thread.attempts, result)
        else:
            self.ran_raised(thread)
        self.bookkeeping.succeeded(thread, result)
        return RESUME

    def ran_raised(self, thread: Thread) -> None:
        """Its call succeeded: count it if it ran with capabilities that stay raised."""
        idle = self.idle.get((thread.program, thread.present.name), 0) if self.idle else 0
        if thread.program in self.raised or thread.effective & idle:
            self.evidence.ran_raised(thread.program, thread.present.name)

    def is_settled(self, thread: Thread) -> bool:
        """True if the end of a call that just made a thread shows nothing more."""
        return (
            thread.call is not None
            and thread.call.handling is Handling.NAMESPACE
            and thread.attempts is None
            and thread.program not in self.raised
            and not makes_namespace(thread)
        )

    def became_another(self, thread: Thread) -> None:
        """An exec succeeded. Its arguments are gone with the former program."""
        if thread.attempts is not None and thread.followed:
            self._shown(thread, thread.attempts, 0)
        thread.attempts = None

    def _failed(self, thread: Thread, code: int) -> Action:
        """Try again with more, or accept it."""
        attempts = thread.attempts
        if code in _RESTARTS:
            thread.attempts = None
            return RESUME
        another = attempts is None or code != attempts.error
        further = () if attempts is None or another else self._further(thread, attempts)
        if attempts is None or another or further:
            candidates = further or self._candidates(thread, code)
            if candidates is None and attempts is not None:
                self._shown(thread, attempts, -code)  # with more, the result is another
            if candidates is None or thread.injection_disabled:
                return RESUME
            attempts = self._begin(thread, attempts, code, candidates)
        mask = attempts.next()
        if mask is not None:
            return RetryWith(mask)
        self._refused(thread, attempts)
        return RESUME

    def _further(self, thread: Thread, attempts: Attempts) -> tuple[int, ...]:
        """Capabilities that the kernel checked only after the raised ones were granted: the same
        error, for another reason (a chown of another user's set-id file: CHOWN, then FOWNER)."""
        denied = thread.denied = self.refused_since(thread.tid, thread.began)
        missing = thread.virtual & ~thread.effective
        known = (*attempts.candidates, SYS_ADMIN)
        return tuple(cap for cap in denied or () if cap not in known and missing >> cap & 1)

    @staticmethod
    def _begin(
        thread: Thread, former: Attempts | None, code: int, candidates: tuple[int, ...]
    ) -> Attempts:
        """Begin with the tries for a refusal. If it is another one than before, the former tries
        proved a need."""
        if former is not None and former.exact:
            thread.proven += tuple((cap, former.error) for cap in former.shown)
        capture = thread.present.handling is Handling.CAPTURE and len(candidates) == 1
        thread.attempts = Attempts(
            code, candidates, thread.effective, thread.virtual, capture=capture
        )
        thread.attempts.changes = not changes_nothing(thread)
        return thread.attempts

    def _candidates(self, thread: Thread, code: int) -> tuple[int, ...] | None:
        """The capabilities to try; None if a missing capability does not cause this error."""
        name = errno.errorcode.get(code, "")
        row = self.errnos.get((thread.present.name, name))
        if row and thread.present.name in ("bind", "connect"):
            row = of_family(row, thread.process.proc.raw(thread.args[1], 2))
        if not can_mean(thread, code):
            return None
        if row is None and code not in _PERMISSION:
            return None
        denied = thread.denied = self.refused_since(thread.tid, thread.began)
        candidates = order(row or (), denied, SYS_ADMIN, in_table=row is not None)
        if denied is not None and not candidates:
            return None if not self.in_namespace else tuple(row or ())
        return candidates

    def _shown(self, thread: Thread, attempts: Attempts, result: int) -> None:
        """The call had another result with more: note what it needs."""
        how = "shown" if attempts.exact else "one-of"
        if thread.present.handling is Handling.PROBE or sends_nothing(thread):
            how = "probe"
        caps = _lacking(thread, attempts)
        about = _about(thread)
        for cap, code in caps:
            without = errno.errorcode.get(code) if code else None
            others = [other for other, _ in caps if other != cap]
            more: dict[str, Any] = {"errno": without, "result": min(result, 0), "together": others}
            seen = note(*(self.evidence, how, cap, thread, about), **more, changes=attempts.changes)
            if seen >= ENOUGH and how == "shown":
                mask = bit(cap)
                if attempts.changes:  # else it stays raised for such calls alone
                    self.raised[thread.program] = self.raised.get(thread.program, 0) | mask
                else:
                    same = (thread.program, thread.present.name)
                    self.idle[same] = self.idle.get(same, 0) | mask
        if not caps:
            self.evidence.send_once(
                unknown=[thread.program, thread.present.name, errno.errorcode.get(attempts.error)]
            )

    def _refused(self, thread: Thread, attempts: Attempts) -> None:
        """Nothing helped: the program gets the error that it would get with its own set."""
        name = errno.errorcode.get(attempts.error, str(attempts.error))
        self.tree.refusals[thread.present.name, name, thread.program, thread.lacked()] += 1
        if thread.present.handling is Handling.PTRACE:
            request, pid, *_ = thread.args
            if request == TRACEME or pid in self.tree.threads:
                self.evidence.send_once(traces=thread.program)
                return
        if self.in_namespace and attempts.candidates and attempts.error in _PERMISSION:
            about = detail(thread.present.name, thread.args, thread.process.proc)
            first, *others = attempts.candidates
            more: dict[str, Any] = {
                "errno": name,
                "result": -attempts.error,
                "together": others,
                "changes": True,
            }
            note(self.evidence, "refused", first, thread, about, **more)

    # ------------------------------------------------------------------ set-gid bits

    @staticmethod
    def _lost_its_bit(thread: Thread) -> bool:
        """True if a chmod should set the set-gid bit, and succeeded without it because
        FSETID is missing."""
        if thread.effective >> FSETID & 1 or not asks_for_set_gid(thread):
            return False
        if not thread.virtual >> FSETID & 1 or thread.injection_disabled:
            return False
        mode = mode_now(thread)
        return mode is not None and not mode & SETGID_BIT

    @staticmethod
    def _with_its_bit(thread: Thread) -> Action:
        if thread.attempts is not None:
            thread.proven += tuple((cap, thread.attempts.error) for cap in thread.attempts.shown)
        mask = thread.effective | bit(FSETID)
        thread.attempts = Attempts(0, (FSETID,), thread.effective, mask)
        thread.attempts.next()
        return RetryWith(mask)

    # ------------------------------------------------------------------ targets that trace

    def _lets_trace(self, thread: Thread, request: int, pid: int) -> Action:
        """Detach from a thread that the target wants to trace itself. If every call is stopped, no
        filter binds the tree to us."""
        if request == TRACEME:
            self.evidence.send_once(detached=thread.program)
            return Detach()
        other = self.tree.threads.get(pid)
        if request in (ATTACH, SEIZE) and other is not None and other is not thread:
            self.evidence.send_once(detached=other.program)
            return Interrupt(other)
        return RESUME


def _about(thread: Thread) -> str | None:
    call = thread.present
    if call.handling is Handling.EXEC:
        return thread.path.decode(errors="backslashreplace")
    return detail(call.name, thread.args, thread.process.proc)


def _lacking(thread: Thread, attempts: Attempts) -> list[tuple[int, int]]:
    """The capabilities that the call needs, each with the error without it."""
    if not attempts.exact:
        return [(cap, attempts.error) for cap in attempts.candidates]
    caps = [(cap, attempts.error) for cap in attempts.shown]
    return caps + [item for item in thread.proven if item[0] not in attempts.shown]
