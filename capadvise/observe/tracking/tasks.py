"""Threads that are followed, and what they belong to: which checks count, and for whom."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple, Protocol

from capadvise.kernel import procfs, syscalls, user_namespaces
from capadvise.model.caps import Cap, CapSet
from capadvise.model.recording import CapableFile, Phase

Known = Callable[[int], "Task | None"]
"""The thread of a pid, if it is a target's own."""
Denied = tuple[int, int, bytes]
"""A check that was denied: capability, user namespace, stack."""
_PIDFDS = 64
_REPEATS = 32
"""Checks between two calls of a task that are remembered."""
_PROGRAMS = 4
_NAME_LENGTH = 15
"""How much of a program's name its thread bears."""


class RawRefusal(NamedTuple):
    """One kind of refusal, as the events tell it."""

    call: str
    code: int
    program: str
    uid: int
    entered: bool | None
    denied: tuple[Denied, ...]
    nested: bool


WHOLE_SETS, AMBIENT = -1, -2
LOOKED, STATE = 1, 2
"""How a program that lists all processes saw one."""
_LAST_CAP, _READERS, _PROCESSES, _FILES = 63, 64, 4096, 64


def _searched(last_cap: int) -> set[int]:
    """The capabilities that a search for the last one between 0 and 64 asks for."""
    low, high, asked = 0, 64, set[int]()
    while low <= high:
        asked.add(middle := (low + high) // 2)
        low, high = (middle + 1, high) if middle <= last_cap else (low, middle - 1)
    return asked


@dataclass(slots=True, eq=False)
class Scope:
    """The subject of one recording: a command and its descendants, or one container."""

    number: int
    root: int
    """The pid of its first process, in the initial pid namespace."""
    started: int
    """Time stamp of its own exec: earlier events were its runtime's."""
    namespace: int = 0
    """The kernel's pointer of the user namespace that it was in at its exec; 0: the initial one."""
    above: frozenset[int] = frozenset()
    """The pointers of the namespaces above that one, except the initial one, as far as known."""
    manager: int = 0
    """A process outside that has the same root and outlives its processes; 0: none."""
    program: str = ""
    """The program that its first process executed last."""
    io_uring: bool = False
    setid_exec: bool | None = False
    """None: it started files that could not be looked at."""
    proc_scanners: set[str] | None = None
    """Programs that listed all processes; None where that is not recorded."""
    with_pid_argument: set[str] = field(default_factory=set)
    """Programs whose arguments named a process to look into."""
    passed: dict[str, dict[int, int]] | None = None
    """For each of those, the processes that it saw: LOOKED if it looked into them, STATE if it read
    their state; None where that is not recorded."""
    access_time_keepers: set[str] = field(default_factory=set)
    """Programs whose options say to leave access times alone."""
    isolators: set[str] = field(default_factory=set)
    """Programs that executed another one in new namespaces that they made for it with clone(2)."""
    lost_lookups: int = 0
    """Lookups in /proc, or arguments of programs, that could not be kept."""
    imports: set[tuple[str, str]] = field(default_factory=set)
    """(program, function of a library) of those that tell something."""
    unread_capset: bool = False
    """The arguments of a capset(2) could not be read."""
    makers: set[int] = field(default_factory=set)
    """Effective ids of the makers of user namespaces, who have all capabilities in them
    (user_namespaces(7))."""
    made: int = 0
    """How many user namespaces were made, as far as was seen."""
    fixed_capsets: dict[tuple[str, CapSet], None] = field(default_factory=dict)
    own_set_reads: dict[str, set[int]] = field(default_factory=dict)
    """Programs that looked at their own capabilities; for each, those that it asked for in the
    bounding set, ``WHOLE_SETS`` if it read all sets, ``AMBIENT`` if it asked for one in that."""
    set_changers: set[str] = field(default_factory=set)
    """Programs that changed their own capabilities: they read them for that."""
    capable_files: dict[CapableFile, None] = field(default_factory=dict)
    unread_files: dict[str, None] = field(default_factory=dict)
    """The paths of executed files that no process was left to find."""
    refusals: Counter[RawRefusal] = field(default_factory=Counter)

    def own_set_readers(self, last_cap: int) -> tuple[tuple[str, CapSet], ...]:
        """As in ``Recording``. To find the last capability that the kernel has, libcap asks for
        some that the kernel lacks; the others that it asks for in that search do not count as
        read. libcap-ng asks for the first one in both sets, to see if the kernel has these sets.
        Programs that list all processes are left out: they also read their own entry."""
        readers = []
        others = (self.proc_scanners or set()) | self.set_changers
        for program in self.own_set_reads.keys() - others:
            asked = self.own_set_reads[program]
            caps = asked & set(range(last_cap + 1))
            if max(asked) > last_cap:
                caps -= _searched(last_cap)
            if AMBIENT in asked:
                caps -= {0}
            if WHOLE_SETS in asked or len(caps) > last_cap // 2:
                readers.append((program, frozenset[Cap]()))
            elif caps:
                readers.append((program, frozenset(map(Cap, caps))))
        return tuple(sorted(readers))

    def note_capable(self, file: CapableFile) -> None:
        """Note a program file that has capabilities, if it demands some."""
        if file.caps and len(self.capable_files) < _FILES:
            self.capable_files[file] = None

    def note_passed(self, program: str, pid: int, how: int) -> None:
        """Note that a program that lists all processes saw one, and how."""
        if self.passed is not None and len(self.passed) < _READERS:
            processes = self.passed.setdefault(program, {})
            if pid in processes or len(processes) < _PROCESSES:
                processes[pid] = processes.get(pid, 0) | how

    def seekers(self, how: int) -> frozenset[str] | None:
        """Programs that saw all processes, and looked like this into few of them."""
        if self.passed is None:
            return None
        looks = (
            (name, sum(bool(seen & how) for seen in each.values()), len(each))
            for name, each in self.passed.items()
        )
        return frozenset(name for name, some, all_ in looks if 0 < 2 * some <= all_)

    @property
    def listers(self) -> frozenset[str] | None:
        """Programs that listed all processes, and not for the sake of one."""
        return (
            None
            if self.proc_scanners is None
            else frozenset(self.proc_scanners - self.with_pid_argument)
        )


@dataclass(slots=True)
class Count:
    """How often a check was made, by whom first and last, and when."""

    pid: int
    first: int
    last_pid: int = 0
    last: int = 0
    count: int = 0

    def add(self, pid: int, time: int, count: int) -> None:
        """It was made again."""
        self.count += count
        self.last_pid, self.last = pid, time


@dataclass(slots=True)
class Task:
    """A thread. Its children begin as copies."""

    program: str
    uids: syscalls.Ids
    gids: syscalls.Ids
    scope: Scope | None = None
    since: int = 0
    """Time stamp: its earlier actions do not count."""
    phase: Phase = Phase.RUN
    own: CapSet | None = None
    """Once it has read its capabilities: those that it kept when it last dropped some."""
    settled: bool = False
    """It has set them, and will only drop some of those."""
    handed: CapSet = frozenset()
    """The set that it set last, perhaps for the program that it executes next."""
    earlier: tuple[str, ...] = ()
    """The programs that it was before, the last ones."""
    call: str | None = None
    values: tuple[int, ...] = ()
    pending: list[Key] = field(default_factory=list)
    """Checks of the call that is under way."""
    parent: int = 0
    """The thread that forked it, where that belongs to the same scope."""
    runtime: int = 0
    """The process that keeps the container that this is about to become: containerd's shim, or
    conmon."""
    pivoted: int = 0
    """The thread that changed its root for that of a new container."""
    inside: bool = False
    """It has entered a container; the programs that it will execute belong to the container."""
    namespace: int = 0
    """The pointer of its user namespace, where that is known."""
    nested: bool = False
    """It has gone into a user namespace that the target made."""
    other_pids: bool = False
    """It is in a pid namespace that the target made: what it calls a process is no pid of ours."""
    children_other_pids: bool = False
    """Those that it forks from now on are."""
    isolated_by: frozenset[str] = frozenset()
    """The programs that made new namespaces for it with clone(2), until it executes another."""
    pidfds: tuple[tuple[int, int], ...] = ()
    """(descriptor, the process that it stands for), the last ones."""
    session: int | None = 0
    """The thread that made its session; 0: the target was in it at first; None: not known."""
    signalled: bool = False
    """A seccomp filter has just sent it SIGSYS; the call may be seen to end."""
    repeats: dict[tuple[bytes, bytes], Repeat] = field(default_factory=dict)
    """The checks since it began or ended a call, or executed a program: a repeated check counts for
    the same distinct one. A server makes thousands of them."""

    @classmethod
    def of_running(cls, pid: int, scope: Scope | None, root: Task | None) -> Task:
        """A thread that ran before it was followed; where it is gone, it had those of ``root``."""
        uids = gids = syscalls.Ids(0, 0, 0)
        if (ids := user_namespaces.ids(pid)) is not None:
            uids, gids = syscalls.Ids(*ids[0]), syscalls.Ids(*ids[1])
        elif root is not None:
            uids, gids = root.uids, root.gids
        program = procfs.comm(procfs.process_of(pid) or pid)  # threads have names of their own
        # Before a scope began, not all events were recorded yet: a call would seem never to end.
        return cls(program, uids, gids, scope, since=scope.started if scope else 0, session=None)

    def become(self, program: str, pid: int) -> None:
        """It has executed a program; ``pid`` is its process."""
        self.earlier = (*self.earlier[1 - _PROGRAMS :], self.program)
        if self.scope is not None:
            self.scope.isolators |= self.isolated_by
            if pid == self.scope.root:
                self.scope.program = program
        self.program, self.repeats, self.isolated_by = program, {}, frozenset()

    def begin(self, call: str, values: tuple[int, ...]) -> None:
        """It has begun a call."""
        self.call, self.values, self.pending = call, values, []
        self.repeats.clear()

    def note_check(self, check: tuple[bytes, bytes], counts_for: Repeat) -> None:
        """Remember the distinct check that a check, an event with its answer and its stack, counts
        for."""
        if len(self.repeats) >= _REPEATS:
            self.repeats.clear()
        self.repeats[check] = counts_for

    def repeats_check(self, check: tuple[bytes, bytes], pid: int, time: int) -> bool:
        """Count a check that it has made since its last call or program; False where it has not. If
        answers come with another event, none is known."""
        if (known := self.repeats.get(check)) is None:
            return False
        known.counted.add(pid, time, 1)
        if known.waits:
            self.wait_for_result(known.key)
        return True

    def wait_for_result(self, key: Key) -> None:
        """Let a check wait for the result of the call under way."""
        self.pending.append(key)
        del self.pending[:-16]

    def end(self) -> None:
        """Its call has ended."""
        self.call, self.pending, self.signalled = None, [], False
        self.repeats.clear()

    def program_called(self, name: str) -> str:
        """The program that it was when the thread had this name: its own, cut short."""
        programs = (self.program, *reversed(self.earlier))
        return next((each for each in programs if each[:_NAME_LENGTH] == name), self.program)

    def program_after(self, name: str) -> str:
        """The program that it executed when the thread had this name."""
        pairs = pairwise((self.program, *reversed(self.earlier)))
        return next((to for to, at in pairs if at[:_NAME_LENGTH] == name), self.program)

    def arguments(self, known: Known | None) -> dict[str, int]:
        """The arguments of the call under way, without values that differ from run to run: in place
        of a pid, ``foreign`` if it is none of the target's own, and for SIGCONT ``same_session``.
        Without ``known`` pids are those of another pid namespace."""
        assert self.call is not None
        args = syscalls.arguments(self.call, self.values, self.uids, self.gids)
        pid = args.pop("pid", None)
        if (fd := args.pop("pidfd", None)) is not None:
            pid = dict(self.pidfds).get(syscalls.signed(fd))
        if args.get("which", -1) == syscalls.ONE_PROCESS.get(self.call):
            pid = args.pop("who", None)
        if pid is not None and known is not None:
            other = abs(syscalls.signed(pid))  # below 0: a group, by its leader
            task = self if other == 0 else known(other)
            args["foreign"] = int(task is None)
            if args.get("signal") == signal.SIGCONT:
                session = task and task.session
                args["same_session"] = int(session is not None and session == self.session)
        return args

    def leads_session(self, thread: int, leader: Task | None, others: Iterable[Task]) -> None:
        """This thread has made a session. ``leader``: the thread of the returned number, which is
        the first thread of the process, or another one in a pid namespace of the target's.
        ``others``: among them are its other threads, which are in that session now, too."""
        for other in others:
            if other.scope is self.scope and other.program == self.program:
                other.session = None  # no exec since, so it may be a thread of this process
        self.session = thread if leader is self else None
        if leader is not None and leader is not self:
            leader.session = None

    def take_ids(self, call: str) -> None:
        """The call under way has succeeded: it may have changed the ids of the task."""
        args = syscalls.arguments(call, self.values, self.uids, self.gids)
        if call in syscalls.UID_CALLS:
            self.uids = self.uids.after(call, args)
        elif call in syscalls.GID_CALLS:
            self.gids = self.gids.after(call, args)

    def take_namespaces(self, call: str) -> None:
        """The call under way has succeeded: it may have moved the task into a user namespace that
        the target made, and what it forks into a pid namespace that it made."""
        if call in ("unshare", "setns"):
            flags = self.values[syscalls.ARGUMENTS[call]["flags"]]
            users = syscalls.makes_users(flags)
            if call == "unshare":  # setns(2) can lead into our own, too
                if users:
                    self.note_users_made()
                self.children_other_pids |= syscalls.makes_pids(flags)
            self.nested |= users  # not yet when it makes one

    def forked(self, parent: int) -> Task:
        """A child, as it begins; ``parent`` is the pid of this one."""
        child = replace(self, call=None, values=(), pending=[], repeats={}, handed=frozenset())
        child.parent = parent if self.scope is not None else 0
        if self.call == "clone":
            (flags, *_) = self.values
            child.nested |= syscalls.makes_users(flags)
            child.children_other_pids |= syscalls.makes_pids(flags)
            if syscalls.makes_namespaces(flags):
                child.isolated_by |= {self.program}
        child.other_pids |= child.children_other_pids
        return child

    def note_pidfd(self, fd: int) -> None:
        """The call under way, pidfd_open(2), has given this descriptor."""
        self.pidfds = (*self.pidfds[-_PIDFDS:], (fd, self.values[0]))

    def note_own_sets(self, cap: int | None = None) -> None:
        """Note that it read its sets; ``cap``: it asked for this member of its bounding set."""
        if self.scope is not None and not self.nested and len(self.scope.own_set_reads) < _READERS:
            asked = self.scope.own_set_reads.setdefault(self.program, set())
            asked.add(WHOLE_SETS if cap is None else min(cap, _LAST_CAP))

    def note_scan(self, program: str) -> None:
        """Note that it lists all processes, as this program."""
        if self.scope is not None and self.scope.proc_scanners is not None:
            self.scope.proc_scanners.add(program)

    def note_users_made(self) -> None:
        """It has made a user namespace. Its ids inside such a one mean nothing here."""
        if self.scope is None:
            return
        self.scope.made += 1
        if not self.nested:
            self.scope.makers.add(self.uids.effective)


class Key(NamedTuple):
    """All that makes two checks the same."""

    cap: int
    ret: int
    namespace: int
    options: int | None
    stack: bytes
    program: str
    uid: int | None
    phase: Phase
    args: tuple[tuple[str, int], ...]
    scope: int
    within: int = 0
    """The user namespace that the task was in, if it is known and another than ``namespace``."""
    nested: bool = False  # denied to a task in a user namespace that the target made


class Repeat(NamedTuple):
    """The distinct check that a check counts for."""

    key: Key
    counted: Count
    waits: bool
    """For the result of its call."""


class Starts(Protocol):
    """Decides where a scope begins."""

    def called(self, pid: int, task: Task, call: str, values: Sequence[int]) -> None:
        """A thread without a scope has begun a call."""

    def executed(self, time: int, pid: int, task: Task, path: str) -> None:
        """A thread without a scope has exec'd a program."""

    def unknown(self, pid: int) -> Scope | None:
        """The scope of a thread whose fork was not seen."""


class OneCommand:
    """A held process: all counts from its exec on."""

    def __init__(self, root: int, before: frozenset[int] = frozenset()) -> None:
        """``before``: the processes that there were when it was held."""
        self.root, self.before = root, before
        self.scope: Scope | None = None

    def called(self, pid: int, task: Task, call: str, values: Sequence[int]) -> None:
        """Nothing begins with a call."""

    def executed(self, time: int, pid: int, task: Task, path: str) -> None:
        """The target's own exec."""
        if pid == self.root and self.scope is None:
            self.scope = Scope(0, pid, time, task.namespace)
        task.scope, task.since = self.scope, time

    def unknown(self, pid: int) -> Scope | None:
        """Only what descends from the target is followed."""
        return self.scope
