"""Distinct checks: how often each was made, for which target, and the result of its call.

Memory is bounded by the number of distinct checks, not of events: a fork loop has 400,000 pids
and an mmap loop a million checks a second.
"""

import errno
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice

from capadvise.kernel import procfs, syscalls, user_namespaces
from capadvise.model.caps import Cap
from capadvise.model.recording import Check, CheckOption, Namespace, Origin, Phase, Tally
from capadvise.observe.ftrace.kallsyms import Symbols, call_site, syscall_of
from capadvise.observe.tracking.tasks import Count, Key, Known, Scope, Task

_LOOKS = 50
"""Rounds for which something is looked for: it is there at once, or is gone again."""
_YOUNGEST = 256
"""Threads that are examined for a user namespace whose map was just written."""
_NET_BIND_SERVICE = Cap.parse("NET_BIND_SERVICE")
_KINDS = {int(Cap.parse("SETUID")): "uid", int(Cap.parse("SETGID")): "gid"}
"""Capabilities that are checked at a write to the map of a user namespace → its kind of ids."""
_MOST_MAPPERS = 256
_WRITES_MAP = "map_write"


CAPS = frozenset({_NET_BIND_SERVICE, *_KINDS})
"""Capabilities whose use may show in /proc."""


class ShownInProc:
    """Finds in /proc the ports that were bound and the ids that were mapped after granted checks:
    events do not show them, since pointers among a call's arguments are not followed. Looks each
    round, for a while."""

    def __init__(self, site: Callable[[bytes], tuple[tuple[str, ...], str | None]]) -> None:
        """``site``: see ``DistinctChecks.site``."""
        self._site = site
        self._ports: dict[int, list[str]] = {}
        """Low ports by the process that bound them."""
        self._binders: dict[int, int] = {}
        self._mapped: dict[tuple[int, int], dict[int, int]] = {}
        """User namespace → the highest id that it maps, by scope and capability."""
        self._mappers: dict[tuple[int, int], set[int]] = {}
        """The processes that wrote maps, each that of another user namespace."""
        self._looking: dict[tuple[int, int], int] = {}

    def allowed(self, scope: Scope, pid: int, cap: int, stack: bytes, *, first: bool) -> None:
        """A process was granted a capability; ``first``: it is the first one."""
        if cap == _NET_BIND_SERVICE:
            if first:
                self._binders[pid] = _LOOKS
        elif cap in _KINDS and _WRITES_MAP in self._site(stack)[0]:
            mappers = self._mappers.setdefault((scope.number, cap), set())
            if len(mappers) < _MOST_MAPPERS:
                mappers.add(pid)
            self._looking[scope.number, cap] = _LOOKS

    def look(self, tasks: dict[int, Task]) -> None:
        """Look for bound ports and mapped ids."""
        for pid, rounds in list(self._binders.items()):
            ports = procfs.low_ports(pid)
            if ports:
                self._ports[pid] = ports
            if ports or rounds == 1:
                del self._binders[pid]
            else:
                self._binders[pid] = rounds - 1
        for (number, cap), rounds in list(self._looking.items()):
            known = self._mapped.setdefault((number, cap), {})
            young = islice(reversed(tasks.items()), _YOUNGEST)
            mine = [pid for pid, task in young if task.scope and task.scope.number == number]
            known.update(filter(None, (user_namespaces.mapped(pid, _KINDS[cap]) for pid in mine)))
            if len(known) >= len(self._mappers[number, cap]) or rounds == 1:
                del self._looking[number, cap]
            else:
                self._looking[number, cap] = rounds - 1

    def ports(self, cap: int, pid: int) -> str | None:
        """The ports that the process of a check has bound."""
        if cap != _NET_BIND_SERVICE or pid not in self._ports:
            return None
        return ", ".join(self._ports[pid])

    def ids(self, key: Key, scope: Scope) -> tuple[tuple[str, int], ...]:
        """The highest id of the mappings that the checks were for, as an argument; empty if not all
        maps were seen, or the check was for something else."""
        known = self._mapped.get((scope.number, key.cap))
        if not known or _WRITES_MAP not in self._site(key.stack)[0]:
            return ()
        if len(known) < len(self._mappers[scope.number, key.cap]):
            return ()
        return ((_KINDS[key.cap], max(known.values())),)


_DECIDING = frozenset(
    [
        *("mode", "changes", "option", "arg2", "level", "name", "cmd", "flags", "signal"),
        *("request", "foreign", "same_session"),
    ]
)
_DISTINCT_ARGUMENTS = 32
"""How many different arguments of one call site are distinguished; beyond that, only those that can
decide."""
MOST = 50_000
"""The limit of distinct checks. Programs, users and arguments are the target's to choose:
a hostile one could make new ones for ever."""
_ANY = "?"
"""The program of checks beyond the limit."""
_ITS_OWN = 1
"""Stands for the address of the target's user namespace."""
_NAMESPACES = 4096
_MOUNTERS = 256
_MOUNTING = frozenset(["mount", "fsopen", "fsconfig", "fsmount"])
_NO_SCOPE = Scope(0, 0, 0)


_LIMIT_REACHED = (
    "limit of distinct checks reached: for later ones, the program, user and arguments are unknown"
)
_WHOSE = (
    "before Linux 6.14 a check does not show which user namespace it was made against: needs in"
    " namespaces of others can be missing, or those in its own be too many"
)
_MALFORMED = "{} events of the trace buffer could not be read"


class DistinctChecks:
    """All distinct checks of a recording, of all scopes."""

    def __init__(
        self, symbols: Symbols, known: Known | None = None, *, tells_within: bool = True
    ) -> None:
        """``known``: see ``Task.arguments``. ``tells_within``: each check shows the user namespace
        that the task was in."""
        self._symbols, self._known, self._tells_within = symbols, known, tells_within
        self._counts: dict[tuple[Key, int | None], Count] = {}
        self._sites: dict[bytes, tuple[tuple[str, ...], str | None]] = {}
        self._origins: dict[bytes, Origin] = {}
        """Origins of the stand-ins for checks, by the stand-ins for their stacks."""
        self._overcommit: dict[bytes, bool] = {}
        self._stacks: dict[bytes, bytes] = {}
        """One copy of each."""
        self.malformed = 0
        """Events that could not be read."""
        self.limit_reached = False
        """There were more distinct checks than are kept apart."""
        self._distinct: Counter[tuple[int, bytes, str]] = Counter()
        self.shown = ShownInProc(self.site)
        self._file_systems: dict[tuple[int, int], dict[str, None]] = {}
        """The types that are mounted, by scope and thread."""
        self._inside: set[int] = set()
        self._entered: set[int] = set()
        """The user namespaces that a followed task was in, and those that it was to enter."""
        self._unclear = False
        """Checks were about more user namespaces than the target is known to have made."""
        self._owners: set[int] | None = None
        """The user namespaces that exist, once a check is against another one than the target's."""

    @cached_property
    def initial_namespace(self) -> int:
        """The address of the initial user namespace; 0 until it is known, which may be later."""
        return self._symbols.address("init_user_ns")

    @property
    def cautions(self) -> tuple[str, ...]:
        """Cautions for the user about the counting."""
        malformed = (_MALFORMED.format(self.malformed),) if self.malformed else ()
        limit = (_LIMIT_REACHED,) if self.limit_reached else ()
        whose = (_WHOSE,) if self._unclear else ()
        return (*limit, *malformed, *whose, *self._symbols.cautions)

    def site(self, stack: bytes) -> tuple[tuple[str, ...], str | None]:
        """The call site of a stack, and the system call that it is in."""
        if stack not in self._sites:
            site = call_site(self._symbols, stack)
            self._sites[stack] = site, syscall_of(site)
        return self._sites[stack]

    def call(self, stack: bytes, task: Task) -> str | None:
        """The system call that a task's check is in. If its entry function has jumped away from the
        stack, it is the call that the task has begun."""
        site, call = self.site(stack)
        if call is not None or not site or task.call not in syscalls.RESULTS:
            return call
        if any("page_fault" in function for function in site):
            return None
        self._sites[stack] = site, task.call
        return task.call

    def is_overcommit(self, stack: bytes) -> bool:
        """True if it is the stack of the check at nearly every mmap."""
        known = self._overcommit.get(stack)
        if known is None:
            site, _ = self.site(stack)
            known = self._overcommit[stack] = _shows("overcommit", site[:2])
        return known

    def add(self, key: Key, result: int | None, pid: int, time: int, count: int) -> Count:
        """Add a check that was made ``count`` times; ``result`` of the call: None until it has
        ended."""
        known = self._counts.get((key, result))
        if known is None and len(self._counts) >= MOST:
            key = _of_any(key)
            known = self._counts.get((key, result))
            self.limit_reached = True
        if known is None:
            stack = self._stacks.setdefault(key.stack, key.stack)
            known = self._counts[key._replace(stack=stack), result] = Count(pid, time)
        known.add(pid, time, count)
        return known

    def settle(self, key: Key, result: int) -> None:
        """Move one check to the result of its call, which has ended."""
        waiting = self._counts.get((key, None)) or self._counts[_of_any(key), None]
        waiting.count -= 1
        moved = self.add(key, result, waiting.pid, waiting.first, 1)
        moved.last_pid, moved.last = waiting.last_pid, waiting.last

    def note_file_system(self, scope: Scope, thread: int, kind: str) -> None:
        """Note a type of file system that a thread wants to mount; of very many, the first ones."""
        if len(self._file_systems) < _MOUNTERS:
            known = self._file_systems.setdefault((scope.number, thread), {})
            if len(known) < _DISTINCT_ARGUMENTS:
                known[kind] = None

    def _types(self, scope: Scope, count: Count) -> list[str]:
        """The file systems that a check can be about; for several checks, all of the target's."""
        mine = (scope.number, count.pid)
        at = (mine,) if count.count == 1 else (at for at in self._file_systems if at[0] == mine[0])
        return sorted({kind for each in at for kind in self._file_systems.get(each, ())})

    def arguments(self, task: Task, cap: int, stack: bytes) -> tuple[tuple[str, int], ...]:
        """The arguments by which the checks of one call site are distinguished."""
        named = tuple(task.arguments(self._known).items())
        where = (cap, stack, task.program)
        if self._distinct[where] >= _DISTINCT_ARGUMENTS:
            return tuple(item for item in named if item[0] in _DECIDING)
        self._distinct[where] += 1
        return named

    def add_seccomp_denied(
        self, time: int, pid: int, task: Task, call: str, cap: Cap, phase: Phase
    ) -> None:
        """The seccomp filter has answered in the kernel's place: the runtime derives it from the
        container's capabilities, so it stands for a check that was refused."""
        self._stand_in(Origin.SECCOMP, time, pid, task, call, cap, -errno.EPERM, phase)

    def add_implied(
        self,
        time: int,
        pid: int,
        task: Task,
        call: str,
        cap: Cap,
        phase: Phase,
        *,
        descriptor: bool = False,
    ) -> None:
        """A call acted on another target's process that holds capabilities, or on a ``descriptor``
        of one. The kernel makes a check only if that process holds more than the caller: it will
        once the target holds less than now (cap_safe_nice(), cap_ptrace_access_check() of
        security/commoncap.c)."""
        args = (("descriptor", 1),) if descriptor else ()
        self._stand_in(Origin.HOLDER, time, pid, task, call, cap, 0, phase, args)

    def add_copied(
        self, time: int, pid: int, task: Task, call: str, cap: Cap, phase: Phase
    ) -> None:
        """A call has succeeded that takes this capability. Before Linux 6.14 compilers have copied
        cap_capable() into cap_task_prctl() and others, where a probe of it sees nothing; the
        tracepoint of later kernels is copied along."""
        self._stand_in(Origin.COPIED, time, pid, task, call, cap, 0, phase)

    def _stand_in(
        self, origin: Origin, time: int, pid: int, task: Task, call: str, cap: Cap, ret: int,
        phase: Phase, args: tuple[tuple[str, int], ...] = (),
    ) -> None:  # fmt: skip
        """Add a stand-in for a check that was not made."""
        assert task.scope is not None
        place = f"{origin}:{call}".encode()
        self._sites[place], self._origins[place] = ((), call), origin
        key = Key(
            cap=int(cap),
            ret=ret,
            namespace=_ITS_OWN,
            options=None,
            stack=place,
            program=task.program,
            uid=task.uids.effective,
            phase=phase,
            args=args,
            scope=task.scope.number,
        )
        self.add(key, ret, pid, time, 1)

    @property
    def distinct(self) -> int:
        """How many distinct checks there are so far."""
        return len(self._counts)

    def tallies(self) -> tuple[Tally, ...]:
        """How often each capability was checked so far, and the last such check."""
        counts: Counter[int] = Counter()
        latest: dict[int, tuple[Key, int | None, Count]] = {}
        for (key, result), known in self._counts.items():
            if known.count > 0:
                cap = key.cap
                counts[cap] += known.count
                if cap not in latest or known.last >= latest[cap][2].last:
                    latest[cap] = key, result, known
        return tuple(
            Tally(
                counts[cap],
                replace(self._as_check(0, *latest[cap], _NO_SCOPE), pid=latest[cap][2].last_pid),
            )
            for cap in counts
        )

    def checks(self, scope: Scope) -> tuple[Check, ...]:
        """All distinct checks, in the order in which they first appeared."""
        counts = sorted(
            (
                item
                for item in self._counts.items()
                if item[1].count > 0 and item[0][0].scope == scope.number
            ),
            key=lambda item: item[1].first,
        )
        if not self._tells_within:
            about = {key.namespace for (key, _), _ in counts}
            made = [each for each in about if self.namespace(each, scope) is Namespace.CHILD]
            self._unclear |= len(made) > scope.made
        return tuple(
            self._as_check(number, key, result, count, scope)
            for number, ((key, result), count) in enumerate(counts, start=1)
        )

    def _as_check(
        self, number: int, key: Key, result: int | None, count: Count, scope: Scope
    ) -> Check:
        site, syscall = self.site(key.stack)
        args = self.shown.ids(key, scope) or key.args
        detail = syscalls.detail(syscall, dict(args)) if syscall and args else None
        detail = self.shown.ports(key.cap, count.pid) or detail
        if syscall in _MOUNTING and (types := self._types(scope, count)):
            detail = f"file system {', '.join(types)}"
        return Check(
            id=number,
            cap=Cap(key.cap),
            granted=key.ret == 0,
            ns=self._asked_about(key, scope),
            site=site,
            origin=self._origins.get(key.stack, Origin.KERNEL),
            program=key.program,
            pid=count.pid,
            count=count.count,
            first=max(0.0, round((count.first - scope.started) / 1e9, 3)),
            syscall=syscall,
            result=result,
            args=args,
            detail=detail,
            uid=key.uid,
            phase=key.phase,
            options=None if key.options is None else _options(key.options),
        )

    def note_namespace(self, about: int, within: int, stack: bytes) -> None:
        """Note the user namespace that a followed task is in, or is about to enter."""
        if within not in self._inside and len(self._inside) < _NAMESPACES:
            self._inside.add(within)
        if about != within and _shows("user-namespace-entered", self.site(stack)[0]):
            self._entered.add(about)

    def _asked_about(self, key: Key, scope: Scope) -> Namespace:
        """The kind of user namespace that a check is about. From outside, the maker of a namespace
        has every capability in it without holding one (cap_capable() of security/commoncap.c);
        others need to hold it."""
        about = self.namespace(key.namespace, scope)
        if key.nested and about is Namespace.TARGET:
            return Namespace.HOST  # above its own: what the target holds does not count there
        outside = key.within and key.within == (scope.namespace or self.initial_namespace)
        if not self._tells_within:
            outside = not scope.makers
        if about is not Namespace.CHILD or not outside or key.uid in scope.makers:
            return about
        if key.namespace in self._inside - self._entered and not scope.makers:
            return about  # it was made in a way that is not recorded: clone3
        if _shows("cloned-namespaces", self.site(key.stack)[0]):
            return about  # in the same call: a fork asks the namespace that its child begins in
        if self._owners is None:
            self._owners = user_namespaces.owners()
        return about if self._owners == {key.uid} else Namespace.OTHER

    def namespace(self, pointer: int, scope: Scope) -> Namespace:
        """The kind of user namespace at an address, as a target sees it."""
        own = scope.namespace or self.initial_namespace
        if not own:
            return Namespace.OTHER
        if pointer in (own, _ITS_OWN):
            return Namespace.TARGET
        above = pointer == self.initial_namespace or pointer in scope.above
        return Namespace.HOST if above else Namespace.CHILD


def _shows(sign: str, site: Sequence[str]) -> bool:
    """True if a call site has this ``Sign``. The catalog is read while the target runs: its start
    would wait for it."""
    from capadvise.catalog import default
    from capadvise.catalog.signs import Sign

    return default().signs.shows(Sign(sign), site)


def _of_any(key: Key) -> Key:
    return key._replace(program=_ANY, uid=None, args=())


def _options(bits: int) -> tuple[CheckOption, ...]:
    """CAP_OPT_NOAUDIT and CAP_OPT_INSETID, linux/security.h."""
    return tuple(
        option for bit, option in ((2, CheckOption.NOAUDIT), (4, CheckOption.INSETID)) if bits & bit
    )
