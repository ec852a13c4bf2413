"""Needs of a target without a capability check: inferred from what it executes and calls.

For some needs, the kernel makes no check at all; for the others, only once the target holds less
than now.
"""

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Generic, TypeVar

from capadvise.kernel import executables, procfs, syscalls, uapi
from capadvise.model.caps import Cap, CapSet, is_reduced
from capadvise.model.recording import CapableFile, Phase
from capadvise.observe.ftrace.pointer_readers import Lookup, text
from capadvise.observe.ftrace.pointers import Pointers
from capadvise.observe.tracking.distinct_checks import DistinctChecks
from capadvise.observe.tracking.tasks import AMBIENT, LOOKED, STATE, Scope, Task

_LINKS = r"exe\Z|(root|cwd)(/|\Z)|(fd|ns|map_files)/."
_PRIVATE_FILES = (
    r"(environ|maps|smaps\w*|numa_maps|mem|auxv|io|pagemap|syscall|stack|personality|timers)\Z"
    r"|fdinfo(/|\Z)"
)
_READ_LINK = ("readlink", "readlinkat")
_STAT = ("stat", "newfstatat", "statx")


def takes_trace(call: str, pid: int, file: str, target: int) -> bool:
    """True if a call's use of a file takes the right to trace the process (ptrace_may_access() in
    fs/proc/base.c, fd.c and namespaces.c). ``file`` is the path below the folder of the process:
    ``environ``, ``fd/3``. stat(2) takes the right only to follow a link. Programs look at ancestors
    of the ``target`` only to know where they run, except for a use of their namespaces, root and
    working folder."""
    return _looks(call, file) and (_is_wanted_itself(call, file) or pid not in _ancestors(target))


def _looks(call: str, file: str) -> bool:
    private = _LINKS if call in _STAT else f"{_LINKS}|{_PRIVATE_FILES}"
    return re.match(private, file) is not None


def is_descriptor(file: str) -> bool:
    """True if it is a single descriptor: the process's user can list the folder of all."""
    return file.startswith("fd/") and len(file) > len("fd/")


def _is_wanted_itself(call: str, file: str) -> bool:
    if call in _READ_LINK:
        return False
    places = "(root|cwd)/." if call in _STAT else "(ns|root|cwd)/"
    return bool(re.match(places, file))


def _ancestors(pid: int) -> set[int]:
    above = {1}
    while (pid := procfs.parent(pid)) > 0 and pid not in above:
        above.add(pid)
    return above


LATE_ROUNDS, UNPLACED = 50, 8192
"""Rounds for which an action of a thread may wait for its start, and the most that wait."""
T = TypeVar("T")


class Unplaced(Generic[T]):
    """Actions of threads until their scope is known: the start of a thread can be read some rounds
    later, as events wait for those of other processors."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, T]] = []
        """Rounds that are left, thread, and its action."""

    def add(self, done: Iterable[tuple[int, T]]) -> None:
        """Add new actions; each waits for one round at least."""
        self._waiting += ((LATE_ROUNDS, thread, what) for thread, what in done)

    def placed(self, tasks: Mapping[int, Task]) -> Iterator[tuple[Task, Scope, int, T]]:
        """The actions of the target's threads: task, scope, thread, action."""
        waiting, self._waiting = self._waiting, []
        for rounds, thread, what in waiting:
            task = tasks.get(thread)
            if task is None and rounds and len(self._waiting) < UNPLACED:
                self._waiting.append((rounds - 1, thread, what))
            elif task is not None and task.scope is not None:
                yield task, task.scope, thread, what


_OPENS, _BY_PIDFD = "pidfd_open", ("setns", "pidfd_getfd")
CALLS = syscalls.REACHING | {"capget", "capset", "prctl", _OPENS, *_BY_PIDFD}
"""The calls that can show a need when they end."""
_OWN_SETS = 64
_FILES = 4096
_ENTERED = 4096
"""The most threads that went into /proc that are remembered."""
_ROUNDS = 3
_TRACE, _SETPCAP, _RAWIO = map(Cap.parse, ("SYS_PTRACE", "SETPCAP", "SYS_RAWIO"))
_PROCESSES = 4096


class ImpliedNeeds:
    """Finds needs that the checks do not show."""

    def __init__(
        self,
        counts: DistinctChecks,
        knows: Callable[[int], bool],
        pointers: Pointers,
        before: frozenset[int] | None,
        *,
        retried: bool,
        scans_told: bool,
        copies_told: bool = True,
    ) -> None:
        """``knows``: True for a followed thread. ``before``: the processes before a command, which
        has our files and pids; None for a container, which has not. ``retried``: see ``Tracker``.
        ``scans_told``: events show which threads list processes; else ``pointers`` may.
        ``copies_told``: see ``DistinctChecks.add_copied``."""
        self._counts, self._knows, self._pointers = counts, knows, pointers
        self.cautions = pointers.cautions
        self._here, self._retried, self._copies_told = before is not None, retried, copies_told
        self._before = before or frozenset()
        self._scans_told = scans_told or pointers.tells_scans
        self._lookups = Unplaced[Lookup]()
        self._lost: Mapping[int, int] = {}
        self._entered: dict[tuple[int, str], bool] = {}
        """(thread, its name then) that went into /proc → True once it passed the first process."""
        self._mounts = Unplaced[str]()
        self._looked_into: list[tuple[int, int, Lookup, Task]] = []
        self._descriptors: set[tuple[int, str, int]] = set()
        """Target, program that goes through all processes, and process."""
        self._imports: dict[tuple[int, ...], frozenset[str]] = {}
        self._executing: dict[int, bytes] = {}
        """The path that each thread wanted to execute last."""
        self._refused_execs: list[tuple[int, Task]] = []

    def executed(self, pid: int, task: Task, scope: Scope, path: str) -> None:
        """Note the changes to a task by the file that it executes."""
        places = self._places(task.parent, scope.root, scope.manager)
        handle, surely = executables.open_executed(pid, path, places)
        gain = executables.Gain()
        if handle is not None:
            gain = executables.gain_of(handle, in_user_namespace=bool(scope.namespace))
            self._note_imports(handle, os.path.basename(path), scope)
            os.close(handle)
        elif not task.nested and len(scope.unread_files) < _FILES:
            scope.unread_files[path] = None
        if gain.changes or not (surely or scope.setid_exec):
            scope.setid_exec = gain.changes or None
        if scope.proc_scanners is None and self._scans_told:
            scope.proc_scanners = set()
            scope.passed = {} if self._pointers.tells_scans else None
        if not task.nested:
            if gain.user is not None:
                task.uids = syscalls.Ids(task.uids.real, gain.user, gain.user)
            scope.note_capable(CapableFile(gain.path, gain.demanded))

    def _places(self, *pids: int) -> list[str]:
        """Processes that find a path as the target does."""
        return [*(f"/proc/{pid}" for pid in pids if pid), *["/proc/self"] * self._here]

    def exec_refused(self, pid: int, task: Task) -> None:
        """A task of a target may not execute a file, and no check says why."""
        if not task.nested and len(self._refused_execs) < _FILES:
            self._refused_execs.append((pid, replace(task)))

    def _settle_refused_execs(self) -> None:
        """Find the files that the bounding set lets nobody execute."""
        refused, self._refused_execs = self._refused_execs, []
        for pid, task in refused:
            if (scope := task.scope) is None or pid not in self._executing:
                continue
            places = self._places(pid, task.parent, scope.root, scope.manager)
            handle, _ = executables.open_named(text(self._executing[pid]), places)
            if handle is not None:
                gain = executables.gain_of(handle, in_user_namespace=bool(scope.namespace))
                os.close(handle)
                if gain.demanded - _bounding(pid, task.parent, scope.root):
                    scope.note_capable(CapableFile(gain.path, gain.demanded, task.program))

    def _note_imports(self, handle: int, program: str, scope: Scope) -> None:
        file = os.fstat(handle)
        place = file.st_dev, file.st_ino, file.st_mtime_ns
        if place not in self._imports and len(self._imports) < _FILES:
            wanted = frozenset[str]().union(*_imports_that_tell().values())
            self._imports[place] = executables.imported(handle, wanted)
        scope.imports |= {(program, name) for name in self._imports.get(place, ())}

    def ended(self, time: int, pid: int, task: Task, call: str, result: int, phase: Phase) -> None:
        """One of CALLS has ended."""
        begun, scope = task.call == call, task.scope  # not all begins are recorded
        if begun:
            _note_own_sets(task, call)
        if call == "capget":
            return
        if call == "capset":
            self._capset(pid, task, result)
        elif scope is None or result < 0:
            return
        elif call == "prctl":
            if begun and result == 0 and not task.nested:
                _must_hold(task, scope, syscalls.made_ambient(task.values))
                if not self._copies_told and task.values[0] == uapi.PR_SET_SECUREBITS:
                    self._counts.add_copied(time, pid, task, "prctl", _SETPCAP, phase)
        elif begun and call == _OPENS:
            task.note_pidfd(result)
        elif begun:
            self._reached(time, pid, task, call, phase)

    def maps_low(self, time: int, pid: int, task: Task, phase: Phase) -> None:
        """It maps memory at a low address: cap_mmap_addr() has a copy of the check, too."""
        lowest = int(Path("/proc/sys/vm/mmap_min_addr").read_text())
        if not self._copies_told and task.scope and task.values[0] < lowest:
            self._counts.add_copied(time, pid, task, "mmap", _RAWIO, phase)

    def _capset(self, pid: int, task: Task, result: int) -> None:
        # each call is read once: not only those that count
        asked, scope = self._pointers.capset_asked(pid), task.scope
        if scope is not None and result == 0:
            scope.set_changers.add(task.program)
        if scope is None or self._retried or result not in (0, -errno.EPERM):
            return  # the retry tracer makes such calls itself, and tells of the others
        if asked is None:
            scope.unread_capset |= task.own is None and not task.settled
        elif task.own is not None and is_reduced(asked, task.own):
            task.own = asked  # sssd drops one at a time
        else:
            task.handed = asked
            if not task.settled and (task.own is None or not self._adapts(task.program, scope)):
                _must_hold(task, scope, asked)
                task.settled = True

    def _adapts(self, program: str, scope: Scope) -> bool:
        """True if a program that has read its sets can have kept those that it had of the wanted
        ones."""
        tests = _imports_that_tell()["capability-test"]
        return any((program, name) in scope.imports for name in tests)

    def executes(self, task: Task) -> None:
        """A task becomes another program: the set that it set last was for that one, as container
        runtimes do."""
        if task.scope is not None and not task.nested:
            _must_hold(task, task.scope, task.handed)
        task.own, task.settled, task.handed = None, False, frozenset()

    def note_lookups(self, tasks: Mapping[int, Task]) -> None:
        """Note the lookups in /proc and the mounts up to the last round."""
        for _, scope, thread, kind in self._mounts.placed(tasks):
            self._counts.note_file_system(scope, thread, kind)
        self._mounts.add(self._pointers.file_systems())
        before = list(self._lookups.placed(tasks))
        self._lookups.add((lookup.thread, lookup) for lookup in self._new_lookups())
        self._settle_refused_execs()
        self._note_lost(tasks)
        for task, scope, _, lookup in before:
            self._note_lookup(lookup, task, scope)
        self._settle_lookups()

    def _new_lookups(self) -> Iterator[Lookup]:
        for lookup in self._pointers.lookups():
            if lookup.executes:
                if len(self._executing) >= _PROCESSES:
                    self._executing.clear()
                self._executing[lookup.thread] = lookup.executes
            yield lookup

    def _note_lookup(self, lookup: Lookup, task: Task, scope: Scope) -> None:
        if lookup.keeps_access_times:
            scope.access_time_keepers.add(task.program_after(lookup.name))
        program = task.program_called(lookup.name)
        # its time takes five readings of a file: not for each round of top
        if (
            (lookup.lists_processes or self._comes_by_all(lookup))
            and program not in (scope.proc_scanners or ())
            and self._pointers.event_time(lookup) >= task.since
        ):
            task.note_scan(program)
        if (
            (lookup.opens_own_status or self._shows_sets(lookup))
            and self._pointers.event_time(lookup)
            >= task.since  # not those of a container's runtime
        ):
            replace(task, program=program).note_own_sets()
        if lookup.place is not None:
            self._note_place(lookup, *lookup.place, task, scope, program)

    def _shows_sets(self, lookup: Lookup) -> bool:
        """True if it opens the status of a process of the target, such as of the shell above it."""
        return lookup.opens_a_status and lookup.place is not None and self._knows(lookup.place[0])

    def _note_place(
        self, lookup: Lookup, pid: int, file: str, task: Task, scope: Scope, program: str
    ) -> None:
        """A task, which was this program then, looks into a process."""
        if lookup.names_process(pid):
            scope.with_pid_argument.add(program)
        elif program in (scope.proc_scanners or ()):
            how = LOOKED if _looks(lookup.call, file) else STATE * (file == "stat")
            scope.note_passed(program, pid, how)
            if not self._is_first_descriptor((scope.number, program, pid), file):
                return
        looks = self._here and not task.nested
        looks = looks and takes_trace(lookup.call, pid, file, scope.root)
        if looks and _held(pid, task, existed=pid in self._before):
            at_that_time = replace(task, program=program)
            self._looked_into.append((_ROUNDS, pid, lookup, at_that_time))

    def _is_first_descriptor(self, looked_into: tuple[int, str, int], file: str) -> bool:
        """True if no descriptor like this was seen before for the process: a program that goes
        through all descriptors (lsof, fuser) sees thousands."""
        if not is_descriptor(file) or looked_into in self._descriptors:
            return False
        if len(self._descriptors) >= _PROCESSES:
            self._descriptors.clear()
        self._descriptors.add(looked_into)
        return True

    def _comes_by_all(self, lookup: Lookup) -> bool:
        """True if it goes through all processes: pidof enters /proc and lists the folder as ".",
        then looks into the first process and others."""
        thread = lookup.thread, lookup.name
        if lookup.enters_folder:
            if len(self._entered) >= _ENTERED:
                self._entered.clear()
            self._entered[thread] = False
        if lookup.place is None or thread not in self._entered:
            return False
        self._entered[thread] |= lookup.place[0] == 1
        return self._entered[thread] and lookup.place[0] != 1

    def _note_lost(self, tasks: Mapping[int, Task]) -> None:
        lost, self._lost = self._lost, self._pointers.lost_lookups()
        for thread, count in lost.items():
            those = tasks if thread == 0 else tasks.keys() & {thread}
            for scope in {scope for each in those if (scope := tasks[each].scope) is not None}:
                scope.lost_lookups += count

    def finish(self, tasks: Mapping[int, Task]) -> None:
        """Nothing more will come."""
        self.note_lookups(tasks)
        self._settle_lookups(last=True)

    def _settle_lookups(self, *, last: bool = False) -> None:
        """Count lookups into processes that do not belong to the target. The start of a process
        that was just forked can be read some rounds later."""
        waiting, self._looked_into = self._looked_into, []
        for rounds, pid, lookup, task in waiting:
            if self._knows(pid) or (scope := task.scope) is None:
                continue
            if rounds and not last:
                self._looked_into.append((rounds - 1, pid, lookup, task))
                continue
            time, thread, place = scope.started, lookup.thread, lookup.place
            descriptor = place is not None and is_descriptor(place[1])
            self._counts.add_implied(
                *(time, thread, task, lookup.call, _TRACE, task.phase), descriptor=descriptor
            )

    def _reached(self, time: int, pid: int, task: Task, call: str, phase: Phase) -> None:
        """A call has acted on a process, by its pid in our own pid namespace: hence only if the
        target is no container."""
        if not self._here or task.other_pids:
            return
        if call in _BY_PIDFD:
            other = dict(task.pidfds).get(syscalls.signed(task.values[0]))
            reached = None if other is None else (other, _TRACE)
        else:
            args = syscalls.arguments(call, task.values, task.uids, task.gids)
            reached = syscalls.reaches(call, args)
        if reached is None or reached[0] == pid or self._knows(reached[0]):
            return
        other, cap = reached
        if _held(other, task, existed=True):
            self._counts.add_implied(time, pid, task, call, cap, phase)


def _imports_that_tell() -> dict[str, frozenset[str]]:
    """Functions by ``ImportSign``. The catalog is read while the target runs: its start would wait
    for it."""
    from capadvise.catalog import default

    return {str(sign): functions for sign, functions in default().signs.symbols.items()}


def _note_own_sets(task: Task, call: str) -> None:
    """Note that a call that ends reads the task's own capabilities. With a null pointer, capget
    only asks for the version, as programs do that then demand a fixed set; those that look first
    adapt to what they have."""
    if call == "capget" and task.values[1]:
        task.note_own_sets()
        task.own = frozenset() if task.own is None else task.own
    elif call == "prctl" and task.values[0] == uapi.PR_CAPBSET_READ:
        task.note_own_sets(task.values[1])
    elif call == "prctl" and task.values[:2] == (uapi.PR_CAP_AMBIENT, uapi.PR_CAP_AMBIENT_IS_SET):
        task.note_own_sets(AMBIENT)
    elif call == "prctl" and task.values[0] == uapi.PR_CAPBSET_DROP and task.scope is not None:
        task.scope.set_changers.add(task.program)


def _bounding(*pids: int) -> CapSet:
    """The bounding set of the first of these processes that is there."""
    for pid in filter(None, pids):
        with suppress(OSError):
            return procfs.capability_sets(pid).bounding
    return frozenset()


def _must_hold(task: Task, scope: Scope, caps: CapSet) -> None:
    """Capabilities that must be permitted, though no check asks for them."""
    if caps and len(scope.fixed_capsets) < _OWN_SETS:
        scope.fixed_capsets[task.program, caps] = None


def _held(pid: int, task: Task, *, existed: bool) -> bool:
    """True if a process that a task has reached held capabilities. If the users differ, the kernel
    makes a check: without one it was a process of the task's own user, and root's processes hold
    some unless they gave them up. This is assumed of a process that ``existed``, and has ended
    since."""
    try:
        return bool(procfs.capability_sets(pid).permitted)
    except OSError:
        return existed and task.uids.effective == 0 and not task.nested
