"""Events of the two buffers, which are read one after the other."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from capadvise.kernel import syscalls, uapi
from capadvise.model import clone_flags
from capadvise.model.caps import SYS_ADMIN, Cap
from capadvise.model.recording import Check, Phase
from capadvise.observe.ftrace.kallsyms import Symbols
from capadvise.observe.ftrace.pointer_readers import Lookup
from capadvise.observe.ftrace.pointers import Pointers
from capadvise.observe.tracking import implied_needs
from capadvise.observe.tracking.implied_needs import LATE_ROUNDS, UNPLACED, Unplaced, takes_trace
from capadvise.observe.tracking.tasks import OneCommand, Scope, Task
from capadvise.observe.tracking.tracker import Tracker
from tests.support.ring_pages import (
    CHECK,
    CHOWN,
    CLONE,
    EXEC,
    EXIT,
    FORK,
    STACK,
    TYPES,
    event,
    page,
    small,
)

TARGET = 100


def execs(pid: int, path: bytes) -> bytes:
    where = struct.pack("<iii", len(path) + 1 << 16 | 20, pid, pid)
    return event(EXEC, pid, where + path + b"\0")


def asks(pid: int) -> list[bytes]:
    """A check, and the stack that follows it."""
    check = event(CHECK, pid, struct.pack("<qii", 0, SYS_ADMIN, 0))
    return [check, event(STACK, pid, struct.pack("<iiq", 1, 0, 0xFFFF))]


def forks(pid: int, child: int) -> bytes:
    return event(FORK, pid, struct.pack("<ii", pid, child))


def checks(
    *rounds: tuple[list[bytes], list[bytes]], stopped: int | None = None
) -> tuple[Check, ...]:
    """What was asked, when each round of reading found this in the quiet buffer and in the flood.
    In round n, times begin at 1000 n."""
    starts = OneCommand(TARGET)
    tracker = Tracker(TYPES, Symbols(b""), starts, TARGET, 0, 0)
    tracker.note_stopping(stopped)
    for number, (quiet, flood) in enumerate(rounds):
        start = number * 1000
        after, flooded = (
            [(0, page(start, *(small(10, item) for item in items)))] if items else []
            for items in (quiet, flood)
        )
        tracker.feed([], flooded, after)
    tracker.finish()
    assert starts.scope is not None
    return tracker.checks(starts.scope)


def programs(*rounds: tuple[list[bytes], list[bytes]]) -> list[str]:
    """Who asked."""
    return [check.program for check in checks(*rounds)]


def test_who_asked_and_ended_between_the_two_readings_is_still_known() -> None:
    """The flood was read, then the program asked and ended, then the quiet buffer was read."""
    ended = [execs(TARGET, b"/bin/hostname"), event(EXIT, TARGET)]
    assert programs((ended, []), ([], asks(TARGET))) == ["hostname"]


def test_a_pid_that_is_used_again_is_the_new_one_s() -> None:
    first = [execs(TARGET, b"/bin/sh"), forks(TARGET, 7), event(EXIT, 7), forks(TARGET, 7)]
    second = [execs(7, b"/bin/date")]
    assert programs((first, []), (second, []), ([], []), ([], asks(7))) == ["date"]


def test_what_was_asked_before_the_stop_is_no_part_of_it() -> None:
    """It was read, and waits for its turn, while the target is told to stop."""
    begun = [execs(TARGET, b"/bin/nginx"), *asks(TARGET)]
    before, after = checks((begun, []), (asks(TARGET), []), stopped=500)
    assert (before.phase, after.phase) == (Phase.RUN, Phase.STOP)


def test_what_begins_after_the_others_were_told_to_stop_is_not_being_stopped() -> None:
    """A service that waited for another one: what it did was no need, and its report had none."""
    (only,) = checks(([execs(TARGET, b"/bin/chown"), *asks(TARGET)], []), stopped=1)
    assert only.phase is Phase.RUN


def test_a_check_that_is_made_again_counts_for_the_program_that_makes_it() -> None:
    """It is not looked up again, unless the thread has become something else meanwhile."""
    begun = [execs(TARGET, b"/bin/sh"), *asks(TARGET) * 3, forks(TARGET, 7), *asks(7) * 2]
    then = [execs(7, b"/bin/date"), *asks(7) * 2, *asks(TARGET)]
    found = checks((begun, []), (then, []))
    assert [(check.program, check.count) for check in found] == [("sh", 6), ("date", 2)]


def test_a_check_that_is_made_again_has_the_result_and_the_user_of_its_call() -> None:
    types = replace(
        TYPES, enters={40: "setuid", 41: "fchownat"}, exits={42: "setuid", 43: "fchownat"}
    )
    symbols = Symbols(b"0000000000001000 T __x64_sys_fchownat\n0000000000002000 T _etext\n")
    starts = OneCommand(TARGET)
    tracker = Tracker(types, symbols, starts, TARGET, 0, 0)
    stack = event(STACK, TARGET, struct.pack("<iiq", 1, 0, 0x1010))
    ask = [event(CHECK, TARGET, struct.pack("<qii", 0, 0, 0)), stack]

    def chowns(result: int, count: int) -> list[bytes]:
        begin = event(41, TARGET, struct.pack("<q5Q", 0, *range(5)))
        return [begin, *ask * count, event(43, TARGET, struct.pack("<qq", 0, result))]

    setuid = [event(40, TARGET, struct.pack("<qQ", 0, 33)), event(42, TARGET, bytes(16))]
    seen = [execs(TARGET, b"/bin/chown"), *chowns(0, 3), *chowns(-1, 2), *setuid, *chowns(0, 1)]
    tracker.feed([], [], [(0, page(0, *(small(10, item) for item in seen)))])
    tracker.finish()
    assert starts.scope is not None
    found = [(check.uid, check.result, check.count) for check in tracker.checks(starts.scope)]
    assert found == [(0, 0, 3), (0, -1, 2), (33, 0, 1)]


def test_a_check_of_the_stop_is_no_other_one_s_when_the_target_goes_on() -> None:
    """It caught Ctrl-C, and is used on."""
    starts = OneCommand(TARGET)
    tracker = Tracker(TYPES, Symbols(b""), starts, TARGET, 0, 0)
    rounds = [[execs(TARGET, b"/bin/python3")], asks(TARGET), [], asks(TARGET) * 3]
    for number, seen in enumerate(rounds):
        tracker.note_stopping(1000 if number in (1, 2) else None)
        items = (small(10, item) for item in seen)
        tracker.feed([], [], [(0, page(number * 1000, *items))])
    tracker.finish()
    assert starts.scope is not None
    found = [(check.phase, check.count) for check in tracker.checks(starts.scope)]
    assert found == [(Phase.STOP, 1), (Phase.RUN, 3)]


def test_after_a_clone_that_makes_a_user_namespace_checks_have_no_arguments_of_it() -> None:
    types = replace(TYPES, enters={40: "clone"}, exits={42: "clone"})
    symbols = Symbols(b"0000000000001000 T __x64_sys_clone\n0000000000002000 T _etext\n")
    starts = OneCommand(TARGET)
    tracker = Tracker(types, symbols, starts, TARGET, 0, 0)
    stack = event(STACK, TARGET, struct.pack("<iiq", 1, 0, 0x1010))
    ask = [event(CHECK, TARGET, struct.pack("<qii", 0, 24, 0)), stack]
    begin = event(40, TARGET, struct.pack("<q5Q", 0, clone_flags.CLONE_NEWUSER, 0, 0, 0, 0))
    seen = [execs(TARGET, b"/bin/x"), begin, *ask, forks(TARGET, 7), *ask, *ask]
    tracker.feed([], [], [(0, page(0, *(small(10, item) for item in seen)))])
    tracker.finish()
    assert starts.scope is not None
    found = [(bool(check.args), check.count) for check in tracker.checks(starts.scope)]
    assert found == [(True, 1), (False, 2)]


def test_before_a_scope_began_neither_checks_nor_refusals_count() -> None:
    """A running target is followed before all its threads are known: what is refused meanwhile
    would seem to be refused without a question."""
    types = replace(TYPES, exits={CHOWN: "fchownat"})
    tracker = Tracker(types, Symbols(b""), OneCommand(TARGET), TARGET, 0, 0)
    scope = Scope(1, TARGET, started=1000)
    tracker.adopt(TARGET, scope)
    fails = event(CHOWN, TARGET, struct.pack("<qq", 0, -errno.EPERM))
    tracker.feed([], [], [(0, page(0, small(10, fails)))])
    tracker.feed([], [], [(0, page(2000, small(10, fails)))])
    tracker.finish()
    assert sum(scope.refusals.values()) == 1


def test_only_the_child_of_the_call_that_made_a_namespace_is_in_it() -> None:
    """Of clone, the begin is recorded where it makes namespaces, and the end where it fails."""
    types = replace(TYPES, enters={CLONE: "clone"})
    tracker = Tracker(types, Symbols(b""), OneCommand(TARGET), TARGET, 0, 0)
    flags = clone_flags.CLONE_NEWUSER | clone_flags.CLONE_NEWPID
    begun = event(CLONE, TARGET, struct.pack("<qQ", 56, flags | 17))
    seen = [execs(TARGET, b"/bin/sh"), begun, *(forks(TARGET, pid) for pid in (7, 8)), forks(7, 9)]
    tracker.feed([], [], [(0, page(0, *(small(10, item) for item in seen)))])
    tracker.finish()
    assert [tracker._task(pid).nested for pid in (7, 8, 9)] == [True, False, True]
    assert [tracker._task(pid).other_pids for pid in (7, 8, 9)] == [True, False, True]


@pytest.mark.parametrize(
    ("flags", "executes", "isolators"),
    [
        (clone_flags.CLONE_NEWPID, 7, {"sandbox"}),
        (clone_flags.CLONE_NEWPID, 9, {"sandbox"}),  # the child's child
        (clone_flags.CLONE_NEWPID, 8, set()),  # of a later fork, outside
        (0, 7, set()),
    ],
)
def test_who_executes_another_program_in_new_namespaces_is_noted(
    flags: int, executes: int, isolators: set[str]
) -> None:
    types = replace(TYPES, enters={CLONE: "clone"})
    starts = OneCommand(TARGET)
    tracker = Tracker(types, Symbols(b""), starts, TARGET, 0, 0)
    begun = event(CLONE, TARGET, struct.pack("<qQ", 56, flags | 17))
    seen = [execs(TARGET, b"/bin/sandbox"), begun, forks(TARGET, 7), forks(TARGET, 8), forks(7, 9)]
    seen += [execs(executes, b"/bin/sh"), execs(executes, b"/bin/true")]
    tracker.feed([], [], [(0, page(0, *(small(10, item) for item in seen)))])
    tracker.finish()
    assert starts.scope is not None
    assert starts.scope.isolators == isolators


def test_who_lists_all_processes_is_noted_by_the_name_it_had() -> None:
    types = replace(TYPES, scan=40)
    starts = OneCommand(TARGET)
    tracker = Tracker(types, Symbols(b""), starts, TARGET, 0, 0)
    events = [
        event(40, TARGET),  # the runtime's own
        execs(TARGET, b"/bin/sh"),
        forks(TARGET, 101),
        execs(101, b"/bin/ps"),
        event(40, 101),
        event(EXIT, 101),
    ]
    tracker.feed([], [], [(0, page(0, *(small(10, item) for item in events)))])
    tracker.finish()
    assert starts.scope is not None
    assert starts.scope.proc_scanners == {"ps"}


def test_where_no_event_tells_who_lists_processes_nobody_claims_to_know() -> None:
    starts = OneCommand(TARGET)
    tracker = Tracker(TYPES, Symbols(b""), starts, TARGET, 0, 0)
    tracker.feed([], [], [(0, page(0, small(10, execs(TARGET, b"/bin/ps"))))])
    tracker.finish()
    assert starts.scope is not None
    assert starts.scope.proc_scanners is None


def test_a_check_whose_stack_names_no_call_is_in_the_one_that_its_thread_has_begun() -> None:
    """A call's entry function jumps to what does the work, and is gone from the stack."""
    starts = OneCommand(TARGET)
    types = replace(TYPES, enters={CHOWN: "keyctl"})
    tracker = Tracker(types, Symbols(b"%x T keyctl_chown_key\n" % 0xFFF0), starts, TARGET, 0, 0)
    begun = event(CHOWN, TARGET, struct.pack("<qQ", 250, 4))
    events = [execs(TARGET, b"/bin/keyctl"), begun, *asks(TARGET)]
    tracker.feed([], [], [(0, page(0, *(small(10, item) for item in events)))])
    tracker.finish()
    assert starts.scope is not None
    assert [check.syscall for check in tracker.checks(starts.scope)] == ["keyctl"]


class _Late(Pointers):
    """Tells what was looked up once all else was read."""

    tells_scans = True
    waiting: tuple[Lookup, ...] = ()
    timed = 0
    """How often it was asked for a time, which takes long."""

    def event_time(self, lookup: Lookup) -> int:
        self.timed += 1
        return lookup.time

    def lookups(self) -> Iterable[Lookup]:
        found, self.waiting = self.waiting, ()
        return found


@pytest.mark.parametrize(("name", "asked"), [("start-stop-daem", []), ("busybox", ["busybox"])])
def test_what_was_looked_up_is_of_the_program_that_the_thread_then_was(
    name: str, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """start-stop-daemon looks through all processes, and becomes what it starts: on a busy machine
    both are read together."""
    monkeypatch.setattr(implied_needs, "takes_trace", lambda *_: True)
    monkeypatch.setattr(implied_needs, "_held", lambda *_, **__: True)
    starts, types = OneCommand(TARGET), replace(TYPES, scan=40)
    late = _Late()
    tracker = Tracker(types, Symbols(b""), starts, TARGET, 0, 0, pointers=late)
    first, second = execs(TARGET, b"/sbin/start-stop-daemon"), execs(TARGET, b"/bin/busybox")
    events = (small(10, item) for item in (first, event(40, TARGET), second))
    tracker.feed([], [], [(0, page(0, *events))])
    tracker.feed([], [], [])
    late.waiting = (Lookup(TARGET, name, "readlink", b"/proc/7/exe", b""),)
    tracker.feed([], [], [])
    tracker.finish()
    assert starts.scope is not None
    assert [check.program for check in tracker.checks(starts.scope)] == asked


@pytest.mark.parametrize(("after", "listers"), [(-1, set()), (1, {"ps"})])
def test_what_a_runtime_listed_before_the_exec_is_not_the_target_s(
    after: int, listers: set[str]
) -> None:
    """Its name may be one that no program has: runc:[2:INIT]."""
    starts, late = OneCommand(TARGET), _Late()
    tracker = Tracker(TYPES, Symbols(b""), starts, TARGET, 0, 0, pointers=late)
    tracker.feed([], [], [(0, page(1000, small(10, execs(TARGET, b"/bin/ps"))))])
    tracker.feed([], [], [])
    assert starts.scope is not None
    time = starts.scope.started + after
    late.waiting = (Lookup(TARGET, "runc:[2:INIT]", "openat", b"/proc", b"", time),)
    tracker.feed([], [], [])
    tracker.finish()
    assert starts.scope.proc_scanners == listers


@pytest.mark.parametrize(
    ("looks", "listers"),
    [
        (["/proc", "/proc/1/exe", "/proc/7/exe"], {"pidof"}),
        (["/proc", "/proc/1/exe", "/proc/1/cwd"], set()),  # a chosen one
        (["/proc", "/proc/7/exe", "/proc/9/exe"], set()),
        (["/proc/1", "/proc/1/exe", "/proc/7/exe"], set()),
    ],
)
def test_who_goes_into_proc_and_comes_by_all_processes_lists_them(
    looks: list[str], listers: set[str]
) -> None:
    """As pidof does, which opens "." then."""
    starts, late = OneCommand(TARGET), _Late()
    tracker = Tracker(TYPES, Symbols(b""), starts, TARGET, 0, 0, pointers=late)
    tracker.feed([], [], [(0, page(1000, small(10, execs(TARGET, b"/bin/pidof"))))])
    tracker.feed([], [], [])
    assert starts.scope is not None
    time = starts.scope.started + 1
    late.waiting = tuple(
        Lookup(TARGET, "pidof", "readlink" if number else "chdir", path.encode(), b"", time)
        for number, path in enumerate(looks)
    )
    tracker.feed([], [], [])
    tracker.finish()
    assert starts.scope.proc_scanners == listers


def test_who_is_known_to_list_processes_is_not_asked_about_again() -> None:
    """Of top, each round opens /proc."""
    starts, late = OneCommand(TARGET), _Late()
    tracker = Tracker(TYPES, Symbols(b""), starts, TARGET, 0, 0, pointers=late)
    tracker.feed([], [], [(0, page(1000, small(10, execs(TARGET, b"/bin/top"))))])
    tracker.feed([], [], [])
    assert starts.scope is not None
    late.waiting = (Lookup(TARGET, "top", "openat", b"/proc", b"", starts.scope.started + 1),) * 9
    tracker.feed([], [], [])
    tracker.finish()
    assert (starts.scope.proc_scanners, late.timed) == ({"top"}, 1)


OTHER = 1 << 23  # no process can have it, so that it is no ancestor of ours


@pytest.mark.parametrize(
    ("call", "pid", "file", "takes"),
    [
        ("openat", OTHER, "environ", True),
        ("openat", OTHER, "root/etc/passwd", True),
        ("openat", OTHER, "fdinfo", True),
        ("openat", OTHER, "status", False),
        ("openat", OTHER, "environment", False),
        ("chdir", OTHER, "cwd", True),
        ("chdir", OTHER, "", False),
        ("readlink", 1, "root", False),  # to know where it runs
        ("readlink", 1, "ns/pid", False),
        ("openat", 1, "root/etc/passwd", True),
        ("mount", 1, "ns/net", True),
        ("statx", OTHER, "exe", True),
        ("stat", OTHER, "fd/0", True),
        ("statx", OTHER, "environ", False),
        ("newfstatat", 1, "root", False),
        ("newfstatat", 1, "ns/net", False),
        ("newfstatat", 1, "root/etc/passwd", True),
    ],
)
def test_what_takes_the_right_to_trace_a_process(
    call: str, pid: int, file: str, *, takes: bool
) -> None:
    assert takes_trace(call, pid, file, os.getpid()) is takes


def test_who_goes_through_all_processes_is_counted_once_for_the_descriptors_of_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """lsof follows thousands, and ps none."""
    monkeypatch.setattr(implied_needs, "_held", lambda *_, **__: True)
    starts, late = OneCommand(TARGET), _Late()
    tracker = Tracker(TYPES, Symbols(b""), starts, TARGET, 0, 0, pointers=late)
    tracker.feed([], [], [(0, page(1000, small(10, execs(TARGET, b"/bin/lsof"))))])
    tracker.feed([], [], [])
    assert starts.scope is not None
    looks = ["/proc", f"/proc/{OTHER}/exe", *(f"/proc/{OTHER}/fd/{number}" for number in range(9))]
    late.waiting = tuple(
        Lookup(TARGET, "lsof", "openat", path.encode(), b"", starts.scope.started + 1)
        for path in looks
    )
    tracker.feed([], [], [])
    tracker.finish()
    (check,) = tracker.checks(starts.scope)
    assert (check.cap.short, check.count, check.args) == ("SYS_PTRACE", 1, (("descriptor", 1),))


def test_what_a_thread_did_waits_until_its_start_is_read() -> None:
    """Events wait for those of other processors, several rounds on a busy machine; what a thread
    mounts is read at once. Of others' threads, the start is never read."""
    waiting = Unplaced[str]()
    waiting.add([(7, "proc"), (8, "tmpfs")])
    for _ in range(20):
        assert not list(waiting.placed({}))
    ids, scope = syscalls.Ids(0, 0, 0), Scope(1, TARGET, started=0)
    ours, others = Task("runc", ids, ids), Task("sh", ids, ids)
    ours.scope = scope
    assert list(waiting.placed({7: ours, 8: others})) == [(ours, scope, 7, "proc")]
    assert not list(waiting.placed({7: ours, 8: ours}))
    waiting.add((9, "none") for _ in range(UNPLACED + 1))
    for _ in range(LATE_ROUNDS + 1):
        assert not list(waiting.placed({}))
    assert not list(waiting.placed({9: ours}))


def test_a_health_check_that_is_tried_while_it_is_stopped_is_one_all_the_same() -> None:
    tracker = Tracker(TYPES, Symbols(b""), OneCommand(TARGET), TARGET, 0, 0)
    scope, tried, stopped = Scope(1, TARGET, started=0), 7, 8
    tracker.note_stopping(0)
    tracker.adopt(tried, scope).phase = Phase.HEALTHCHECK
    tracker.adopt(stopped, scope)
    asked = [small(10, item) for pid in (tried, stopped) for item in asks(pid)]
    tracker.feed([], [], [(0, page(0, *asked))])
    tracker.finish()
    phases = {check.phase for check in tracker.checks(scope)}
    assert phases == {Phase.HEALTHCHECK, Phase.STOP}


def _copied(*, copies_told: bool) -> tuple[list[Cap], implied_needs.ImpliedNeeds]:
    """The needs of copied checks that are told, and what tells them."""
    told: list[Cap] = []
    counts: Any = SimpleNamespace(add_copied=lambda *what: told.append(what[4]))
    needs = implied_needs.ImpliedNeeds(
        *(counts, lambda pid: True, Pointers(), None),
        retried=False,
        scans_told=True,
        copies_told=copies_told,
    )
    return told, needs


@pytest.mark.parametrize(
    ("copies_told", "option", "taken"),
    [
        (True, uapi.PR_SET_SECUREBITS, False),
        (False, uapi.PR_SET_SECUREBITS, True),
        (False, 15, False),
    ],
)
def test_securebits_take_setpcap_where_no_probe_sees_the_check(
    *, copies_told: bool, option: int, taken: bool
) -> None:
    """Before Linux 6.14 it is made in a copy of cap_capable()."""
    told, needs = _copied(copies_told=copies_told)
    ids, scope = syscalls.Ids(0, 0, 0), Scope(1, TARGET, started=0)
    task = Task("x", ids, ids, scope, call="prctl", values=(option, 4))
    needs.ended(0, 7, task, "prctl", 0, Phase.RUN)
    assert told == [Cap.parse("SETPCAP")] * taken


@pytest.mark.parametrize(
    ("copies_told", "address", "taken"),
    [(True, 0, False), (False, 0, True), (False, 1 << 20, False)],
)
def test_mapping_a_low_address_takes_sys_rawio_where_no_probe_sees_the_check(
    *, copies_told: bool, address: int, taken: bool
) -> None:
    """As for the securebits; vm.mmap_min_addr is the limit."""
    told, needs = _copied(copies_told=copies_told)
    ids, scope = syscalls.Ids(0, 0, 0), Scope(1, TARGET, started=0)
    needs.maps_low(0, 7, Task("x", ids, ids, scope, values=(address,)), Phase.RUN)
    assert told == [Cap.parse("SYS_RAWIO")] * taken
