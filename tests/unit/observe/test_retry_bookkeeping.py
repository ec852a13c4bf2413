"""What calls change of a thread that is retried: descriptors, users and sets, namespaces, filters;
and threads and processes that come and go."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from capadvise.observe.retry.calls import I386
from capadvise.observe.retry.thread import CallStep, Gone, Process, Thread, bit
from tests.support.traced_calls import (
    HOME,
    NET_ADMIN,
    NEWNS,
    NEWUSER,
    PID,
    SETFCAP,
    SETUID,
    PolicyRun,
    ProcTable,
    calling,
    opening,
)

# ------------------------------------------------------------------------------ what calls change


@pytest.mark.parametrize(
    ("call", "args", "result", "before", "after"),
    [
        ("close", (7,), 0, {7: True, 8: False}, {8: False}),
        ("close_range", (7, 9), 0, {6: True, 7: True, 9: True}, {6: True}),
        ("dup", (7,), 9, {7: True}, {7: True, 9: True}),
        ("dup2", (7, 9), 9, {7: False, 9: True}, {7: False, 9: False}),
        ("dup3", (8, 9), 9, {9: True}, {}),
        ("fcntl", (7, 0), 9, {7: True}, {7: True, 9: True}),
        ("fcntl", (7, 1), 0, {7: True}, {7: True}),
        ("dup", (7,), -9, {7: True}, {7: True}),
        ("dup", (7,), 9, {}, {}),
    ],
)
def test_descriptors_of_proc_are_followed(
    call: str,
    args: tuple[int, ...],
    result: int,
    before: dict[int, bool],
    after: dict[int, bool],
) -> None:
    run = PolicyRun()
    thread = run.thread(call, args, procfs_fds=before)
    run.finished(thread, result)
    assert thread.process.procfs_fds == after


@pytest.mark.parametrize(
    ("path", "fds"),
    [(b"/proc/1/stat", {9: True}), (b"/sys/power/state", {9: False}), (b"/etc/passwd", {})],
)
def test_opened_files_of_proc_are_kept_in_mind(path: bytes, fds: dict[int, bool]) -> None:
    run = PolicyRun()
    call, args, state = opening(path)
    thread = run.thread(call, args, **state)
    run.policy.entered(thread)
    run.finished(thread, 9)
    assert thread.process.procfs_fds == fds


def test_a_directory_of_proc_is_kept_in_mind() -> None:
    run = PolicyRun()
    thread = run.thread("chdir", proc=ProcTable(links={-1: "/proc/1"}))
    run.finished(thread, 0)
    assert thread.process.in_pseudo


def after_call(
    call: str, args: tuple[int, ...], result: int = 0, **state: Any
) -> tuple[PolicyRun, Thread]:
    run = PolicyRun()
    thread = run.thread(call, args, **state)
    run.finished(thread, result)
    return run, thread


def test_users_and_sets_change_as_they_would_without_us() -> None:
    _, thread = after_call("setuid", (33,), proc=ProcTable(uid=33, effective=0, permitted=0))
    assert (thread.uid, thread.virtual, thread.permitted) == (33, 0, 0)
    run, thread = after_call(
        "capset", (600, 601), proc=ProcTable(effective=bit(5), permitted=bit(5))
    )
    assert thread.virtual == bit(5)
    assert run.said("own_set") == [["prog", bit(5)]]


def test_what_is_set_last_before_an_exec_is_handed_over() -> None:
    """Also by a child, and once: the next program has its own sets."""
    run, thread = after_call("capset", (600, 601), proc=ProcTable(permitted=bit(5)))
    child = thread.child(7, thread.process)
    for _ in range(2):
        run.policy.bookkeeping.executes(child)
    assert run.said("handed") == [["prog", bit(5)]]


@pytest.mark.parametrize(
    ("args", "result", "concluded"),
    [((33,), 0, [("asked", SETUID, None)]), ((0,), 0, []), ((0xFFFFFFFF,), 0, [])],
)
def test_a_change_that_no_refusal_shows_is_concluded(
    args: tuple[int, ...], result: int, concluded: list[Any]
) -> None:
    run, _ = after_call("setfsuid", args, result)
    assert run.facts == concluded


def test_beside_an_observer_nothing_is_concluded() -> None:
    run = PolicyRun(alone=False)
    run.finished(run.thread("setfsgid", (33,)), 0)
    assert run.facts == []


HEADER_1, HEADER_3 = 0x19980330, 0x20080522


@pytest.mark.parametrize(
    ("version", "pid", "shown"),
    [
        (HEADER_3, 0, {700: b"\xff" * 4, 712: b"\xff\1\0\0"}),
        (HEADER_1, 0, {700: b"\xff" * 4}),
        (HEADER_3, PID, {700: b"\xff" * 4, 712: b"\xff\1\0\0"}),
        (HEADER_3, 999, {}),  # somebody else's are as they are
    ],
)
def test_a_program_that_looks_sees_what_it_would_have(
    version: int, pid: int, shown: dict[int, bytes]
) -> None:
    header = struct.pack("<Ii", version, pid)
    run, thread = after_call("capget", (600, 700), proc=ProcTable({600: header}))
    proc = thread.process.proc
    assert isinstance(proc, ProcTable)
    assert {at: data for at, data in proc.memory.items() if at != 600} == shown
    assert run.said("looked") == ["prog"] * bool(shown)


def test_a_program_that_only_asks_for_the_version_is_let_be() -> None:
    run, _ = after_call("capget", (600, 0), proc=ProcTable({600: bytes(8)}))
    assert run.told == []


def test_a_netlink_request_says_what_it_wants() -> None:
    request = struct.pack("=IHHII", 16, 16, 0, 0, 0)  # RTM_NEWLINK
    run, thread = after_call(
        "socket", (16, 3, 0), 5, proc=ProcTable({600: request}, {5: "socket:[9]", 6: "socket:[8]"})
    )
    for fd in (6, 5):
        run.finished(calling(thread, "sendto", (fd, 600, 16)), 16)
    assert run.facts == [("asked", NET_ADMIN, None)]
    assert [fact["detail"] for fact in run.said("fact")] == ["RTM_NEWLINK"]


@pytest.mark.parametrize(("arch", "word"), [(0xC000003E, 8), (I386, 4)])
def test_a_message_in_pieces_is_read_too(arch: int, word: int) -> None:
    request = struct.pack("=IHHII", 16, 17, 0, 0, 0)  # RTM_DELLINK
    memory = {
        600 + 2 * word: (700).to_bytes(word, "little"),
        700: (800).to_bytes(word, "little") + (16).to_bytes(word, "little"),
        800: request,
    }
    proc = ProcTable(memory, {5: "socket:[9]"})
    run, thread = after_call("socket", (16, 3, 0), 5, proc=proc, arch=arch)
    run.finished(calling(thread, "sendmsg", (5, 600)), 16)
    assert [fact["detail"] for fact in run.said("fact")] == ["RTM_DELLINK"]


@pytest.mark.parametrize(
    ("call", "args", "namespace", "followed", "facts"),
    [
        ("unshare", (NEWUSER,), "user:[2]", False, [("asked", SETFCAP, None)]),
        ("unshare", (NEWNS,), HOME, True, []),
        ("setns", (7, 0), HOME, True, []),
        ("setns", (7, 0), "user:[2]", False, []),
        ("setns", (7, 0), "", False, []),
        ("clone", (NEWUSER,), HOME, True, [("asked", SETFCAP, None)]),
    ],
)
def test_in_a_namespace_of_its_own_it_is_not_followed(
    call: str, args: tuple[int, ...], namespace: str, followed: bool, facts: list[Any]
) -> None:
    run, thread = after_call(call, args, proc=ProcTable(namespace=namespace))
    assert (thread.followed, run.facts) == (followed, facts)


@pytest.mark.parametrize(
    ("call", "args", "filtered"),
    [
        ("seccomp", (1, 1), [PID, 101]),  # SECCOMP_FILTER_FLAG_TSYNC: all threads
        ("seccomp", (1, 0), [PID]),
        ("prctl", (22, 2), [PID]),
        ("prctl", (38, 1), []),
    ],
)
def test_its_own_filters_are_kept_in_mind(
    call: str, args: tuple[int, ...], filtered: list[int]
) -> None:
    run = PolicyRun()
    thread = run.thread(call, args)
    run.tree.add_child(thread, 101, None)
    run.tree.add_child(thread, 102, ProcTable())
    run.finished(thread, 0)
    assert [tid for tid, one in run.tree.threads.items() if one.filtered] == filtered
    assert not any(one.injection_disabled for one in run.tree.threads.values())


def test_io_uring_is_told_of() -> None:
    run, _ = after_call("io_uring_setup", (), 5)
    assert run.said("io_uring") == [True]


# ------------------------------------------------------------------------------ the tree


def test_threads_and_processes_come_and_go() -> None:
    run, proc, own = PolicyRun(), ProcTable(), ProcTable()
    leader = run.thread("clone", proc=proc, procfs_fds={7: True})
    thread = run.tree.add_child(leader, 101, None)
    child = run.tree.add_child(leader, 102, own)
    assert (thread.process, child.process.pid) == (leader.process, 102)
    child.process.procfs_fds.clear()
    assert leader.process.procfs_fds == {7: True}
    assert run.tree.take_over(leader, PID) is leader
    assert run.tree.take_over(leader, 101) is thread
    assert (thread.tid, sorted(run.tree.threads)) == (PID, [PID, 102])
    run.tree.remove(PID)
    run.tree.remove(102)
    run.tree.remove(102)
    assert (proc.closed, own.closed, run.tree.threads) == (1, 1, {})


@pytest.mark.parametrize(
    ("change", "stops"),
    [
        (lambda thread: None, False),
        (lambda thread: setattr(thread, "step", CallStep.CALL), True),
        (lambda thread: setattr(thread, "step", CallStep.SKIP), True),
        (lambda thread: thread.process.procfs_fds.update({7: False}), True),
    ],
)
def test_which_threads_stop_at_each_call(change: Callable[[Thread], None], stops: bool) -> None:
    run = PolicyRun()
    thread = run.thread("getpid")
    change(thread)
    assert run.tree.stops_at_each_call(thread) is stops


def test_a_new_program_keeps_the_descriptors_that_stay_open() -> None:
    proc = ProcTable(links={3: "/proc/1/stat", 4: "/etc/passwd", -1: "/sys"})
    process = Process(1, proc)
    process.look_for_pseudo()
    assert (process.procfs_fds, process.in_pseudo) == ({3: False}, True)
    process.procfs_fds[9] = True
    process.exec()
    assert (process.procfs_fds, proc.closed) == ({3: False}, 1)


def test_a_thread_that_is_gone_cannot_be_looked_at() -> None:
    class Dead(ProcTable):
        def status(self, tid: int) -> bytes:
            return b"Name:\tcat\nState:\tZ (zombie)\n"

    with pytest.raises(Gone):
        Thread(1, Process(1, Dead())).reload()
