"""What EPERM retries do with a call, and what they learn from it: state, what happened, what is
to be done. No thread is traced here; /proc is a table."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from capadvise.catalog import default
from capadvise.linux.retry.actions import (
    RESUME,
    Action,
    BeginWith,
    Detach,
    Interrupt,
    RetryWith,
)
from capadvise.linux.retry.attempts import Attempts, bit
from capadvise.linux.retry.bookkeeping import Bookkeeping
from capadvise.linux.retry.calls import HANDLING, I386, Call, Handling
from capadvise.linux.retry.evidence import EvidenceLog
from capadvise.linux.retry.policy import ENOUGH, Policy, telling_errors
from capadvise.linux.retry.thread import KEPT, CallStep, Gone, Process, Thread
from capadvise.linux.retry.tree import Tree

ALL = (1 << 41) - 1
CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, KILL = 0, 1, 2, 3, 4, 5
SETUID, NET_BIND_SERVICE, NET_ADMIN, SYS_CHROOT, SYS_ADMIN = 7, 10, 12, 18, 21
SETFCAP = 31
ERRNOS = {key: [int(cap) for cap in caps] for key, caps in default().errnos.items()}
AT_FDCWD = 0xFFFFFF9C
NEWNS, NEWUSER, NEWNET = 0x20000, 0x10000000, 0x40000000
PID, HOME = 100, "user:[1]"


@dataclass
class Proc:
    """/proc of one process, as a table."""

    memory: dict[int, bytes] = field(default_factory=dict)
    links: dict[int, str] = field(default_factory=dict)
    modes: dict[tuple[int | None, bytes], int] = field(default_factory=dict)
    uid: int = 0
    owner: int = 0
    groups: str = ""
    effective: int = ALL
    permitted: int = ALL
    namespace: str = HOME
    closed: int = 0

    def spare_memory(self, size: int, reach: int) -> int:
        return 0

    def text(self, address: int) -> bytes:
        return self.memory.get(address, b"").partition(b"\0")[0]

    def raw(self, address: int, size: int) -> bytes:
        return self.memory.get(address, b"")[:size]

    def write(self, address: int, data: bytes) -> bool:
        self.memory[address] = data
        return True

    def link(self, fd: int) -> str:
        return self.links.get(fd, "")

    def folder(self, fd: int) -> str:
        return self.link(fd) or f"descriptor {fd}"

    def descriptors(self) -> list[int]:
        return [fd for fd in self.links if fd >= 0]

    def file(self, at: int | None, path: bytes, *, follow: bool = True) -> os.stat_result | None:
        mode = self.modes.get((at, path))
        owners = (0, 0, 0, self.owner, self.owner + 1, 0, 0, 0, 0)
        return None if mode is None else os.stat_result((mode, *owners))

    def has_capabilities(self, at: int | None, path: bytes, *, follow: bool = True) -> bool:
        return path == b"c"

    def status(self, tid: int) -> bytes:
        ids = f"Name:\tUid:\nUid:\t9\t{self.uid}\t9\t9\nGid:\t0\t0\t0\t0\nGroups:\t{self.groups}\n"
        sets = f"CapInh:\t0\nCapPrm:\t{self.permitted:016x}\nCapEff:\t{self.effective:016x}\n"
        return (ids + sets + "CapBnd:\t0\n").encode()

    def user_namespace(self, tid: int) -> str:
        return self.namespace

    def close(self) -> None:
        self.closed += 1


class Run:
    """A policy, the tree that it decides for, and what it told."""

    def __init__(self, **options: Any) -> None:
        self.told: list[Mapping[str, Any]] = []
        self.tree = Tree(
            EvidenceLog(self.told.append, lambda: 0.0),
            every_call=options.get("every_call", False),
            home=HOME,
            can_suspend=options.get("can_suspend", True),
        )
        denied: list[Any] | None = options.get("denied")

        def refused_since(tid: int, began: int) -> list[int] | None:
            """Of lists, the next one at each question."""
            if not denied or isinstance(denied[0], int):
                return denied
            refused: list[int] = denied.pop(0)
            return refused

        self.bookkeeping = Bookkeeping(self.tree, alone=options.get("alone", True))
        self.policy = Policy(
            self.tree,
            self.bookkeeping,
            ERRNOS,
            refused_since,
            in_namespace=options.get("in_namespace", False),
        )

    def thread(self, call: str, args: Sequence[int] = (), tid: int = PID, **state: Any) -> Thread:
        """A thread that is about to make a call."""
        thread = self.tree.add(tid, state.pop("proc", Proc()))
        thread.program, thread.followed = "prog", True
        thread.permitted = thread.virtual = ALL
        thread.effective = KEPT
        for name, value in state.items():
            setattr(thread.process if hasattr(Process, name) else thread, name, value)
        return calling(thread, call, args)

    def finished(self, thread: Thread, *results: int | str) -> list[Action]:
        """What is done after each result; sets change as the tracer changes them."""
        actions = []
        for result in results:
            code = -getattr(errno, result) if isinstance(result, str) else result
            actions.append(self.policy.left(thread, code))
            if isinstance(actions[-1], RetryWith):
                thread.effective = actions[-1].mask
        return actions

    @property
    def facts(self) -> list[tuple[str, int, str | None]]:
        """(how, capability, error without it) of all facts told."""
        facts = [message["fact"] for message in self.told if "fact" in message]
        return [(fact["how"], fact["cap"], fact["errno"]) for fact in facts]

    def said(self, kind: str) -> list[Any]:
        return [message[kind] for message in self.told if kind in message]


def calling(thread: Thread, call: str, args: Sequence[int] = ()) -> Thread:
    thread.call = Call(call, HANDLING.get(call, Handling.PLAIN))
    thread.args = (*args, *(0,) * (6 - len(args)))
    return thread


def opening(path: bytes, flags: int = 0) -> tuple[str, tuple[int, ...], dict[str, Any]]:
    return "openat", (AT_FDCWD, 500, flags), {"proc": Proc({500: path})}


# ------------------------------------------------------------------------------ at the beginning

FULL, RESTING = BeginWith(ALL), RESUME


@pytest.mark.parametrize(
    ("call", "args", "state", "action"),
    [
        ("chown", (), {}, RESTING),
        ("chown", (), {"effective": ALL}, BeginWith(KEPT)),
        ("chown", (), {"effective": ALL, "virtual": bit(FSETID)}, BeginWith(bit(FSETID))),
        ("chown", (), {"effective": ALL, "injection_disabled": True}, RESUME),
        ("chown", (), {"effective": ALL, "followed": False}, RESUME),
        ("setfsuid", (5,), {}, FULL),
        ("setfsuid", (5,), {"virtual": 0, "effective": 0}, RESUME),
        ("io_uring_setup", (), {}, FULL),
        (*opening(b"/etc/shadow"), RESTING),
        (*opening(b"/etc/shadow", 1), RESTING),
        (*opening(b"/proc/cpuinfo"), RESTING),
        (*opening(b"/proc/kallsyms"), FULL),
        (*opening(b"/process/kallsyms"), RESTING),
        (*opening(b"/proc/sys/kernel/hostname", 1), FULL),
        ("openat", (AT_FDCWD, 500), {"proc": Proc({500: b"stat"}), "in_pseudo": True}, FULL),
        ("openat", (7, 500), {"proc": Proc({500: b"stat"}), "procfs_fds": {7: False}}, FULL),
        ("openat", (8, 500), {"proc": Proc({500: b"stat"}), "procfs_fds": {7: False}}, RESTING),
        ("open", (500, 2), {"proc": Proc({500: b"/sys/x"})}, FULL),
        ("creat", (500,), {"proc": Proc({500: b"/sys/x"})}, FULL),
        (
            *("openat2", (AT_FDCWD, 500, 600)),
            {"proc": Proc({500: b"/sys/x", 600: b"\1" + bytes(7)})},
            FULL,
        ),
        ("openat2", (AT_FDCWD, 500, 600), {"proc": Proc({500: b"/sys/x"})}, RESTING),
        ("read", (7,), {"procfs_fds": {7: True}}, FULL),
        ("read", (7,), {"procfs_fds": {7: False}}, RESTING),
        ("sendfile", (1, 7), {"procfs_fds": {7: True}}, FULL),
        ("sendfile", (7, 1), {"procfs_fds": {7: True}}, RESTING),
        ("fchmod", (7, 0o2755), {}, BeginWith(KEPT & ~bit(FSETID))),
        ("fchmodat", (7, 500, 0o755), {}, RESTING),
        ("socket", (16, 3, 0), {}, FULL),
        ("socket", (2, 1, 0), {}, RESTING),
        ("unshare", (NEWUSER | NEWNS,), {}, FULL),
        ("unshare", (NEWNS,), {}, RESTING),
        ("fork", (NEWUSER,), {}, RESTING),
        ("clone", (NEWUSER,), {}, FULL),
        ("clone3", (600,), {"proc": Proc({600: struct.pack("<Q", NEWUSER)})}, FULL),
        ("clone3", (600,), {"proc": Proc({600: struct.pack("<Q", NEWNET)})}, RESTING),
        ("setns", (7, 0), {}, FULL),  # of any kind: it may be a user namespace
        ("setns", (7, NEWNET), {}, RESTING),
        ("prctl", (22, 2), {}, RESTING),
        ("access", (), {}, RESTING),
    ],
)
def test_with_which_set_a_call_begins(
    call: str, args: tuple[int, ...], state: dict[str, Any], action: Action
) -> None:
    run = Run()
    assert run.policy.entered(run.thread(call, args, **state)) == action


@pytest.mark.parametrize(
    ("call", "args", "action"),
    [
        ("prctl", (22, 2), FULL),
        ("prctl", (15,), RESTING),
        ("seccomp", (1,), FULL),
        ("seccomp", (2,), RESTING),
    ],
)
def test_a_filter_that_cannot_be_suspended_is_the_last_that_is_changed(
    call: str, args: tuple[int, ...], action: Action
) -> None:
    run = Run(can_suspend=False, alone=False)
    thread = run.thread(call, args)
    assert run.policy.entered(thread) == action
    run.finished(thread, 0)
    assert (thread.filtered, thread.injection_disabled) == ((action is FULL),) * 2


def test_who_lets_another_answer_its_calls_keeps_its_set() -> None:
    """They do not stop for us then: refused, they would not be tried again."""
    run = Run()
    thread = run.thread("seccomp", (1, 8))  # SECCOMP_FILTER_FLAG_NEW_LISTENER
    assert run.policy.entered(thread) == FULL
    run.finished(thread, 5)
    assert thread.injection_disabled
    assert run.said("listener") == ["prog"]


def test_messages_to_the_kernel_are_sent_with_all() -> None:
    run = Run()
    thread = run.thread("socket", (16, 3, 0), proc=Proc(links={5: "socket:[9]", 6: "socket:[8]"}))
    run.finished(thread, 5)
    assert run.policy.entered(calling(thread, "sendto", (5,))) == FULL
    assert run.policy.entered(calling(thread, "sendto", (6,))) == RESTING


ATTACH, SEIZE = 16, 0x4206


@pytest.mark.parametrize(
    ("every_call", "request_", "pid", "action"),
    [
        (True, 0, 0, Detach()),
        (True, ATTACH, 200, "the other"),
        (True, SEIZE, 200, "the other"),
        (True, ATTACH, PID, RESUME),
        (True, ATTACH, 300, RESUME),  # not of the tree: its own refusal is tried again
        (True, 24, 200, RESUME),
        (False, 0, 0, RESUME),  # a filter of ours binds it to us
        (False, ATTACH, 200, RESUME),
    ],
)
def test_what_the_target_wants_to_trace_is_let_go_of(
    every_call: bool, request_: int, pid: int, action: Action | str
) -> None:
    run = Run(every_call=every_call)
    other = run.thread("getpid", tid=200)
    thread = run.thread("ptrace", (request_, pid))
    wanted = Interrupt(other) if action == "the other" else action
    assert run.policy.entered(thread) == wanted
    assert run.said("let_go") == ([] if wanted is RESUME else ["prog"])


# ------------------------------------------------------------------------------ at the end


def again(*caps: int) -> RetryWith:
    return RetryWith(KEPT | sum(map(bit, caps)))


MOUNT = ("mount", (501, 500, 502), {})
WITH_ALL = RetryWith(ALL)


@pytest.mark.parametrize(
    ("call", "args", "options", "results", "actions", "facts"),
    [
        ("chown", (), {}, [0], [RESUME], []),
        ("chown", (), {}, ["EPERM", 0], [again(CHOWN), RESUME], [("shown", CHOWN, "EPERM")]),
        ("chown", (), {}, ["ENOENT"], [RESUME], []),
        ("chown", (), {}, [-513], [RESUME], []),  # ERESTARTNOINTR
        (  # the less powerful first
            *("openat", (), {}),
            ["EACCES", "EACCES", 3],
            [again(DAC_READ_SEARCH), again(DAC_OVERRIDE), RESUME],
            [("shown", DAC_OVERRIDE, "EACCES")],
        ),
        (  # with more, it comes to something else
            *("openat", (), {}),
            ["EACCES", "ENOENT"],
            [again(DAC_READ_SEARCH), RESUME],
            [("shown", DAC_READ_SEARCH, "EACCES")],
        ),
        (  # one after the other
            *("chown", (), {}),
            ["EACCES", "EPERM", 0],
            [again(DAC_READ_SEARCH), again(DAC_READ_SEARCH, CHOWN), RESUME],
            [("shown", CHOWN, "EPERM"), ("shown", DAC_READ_SEARCH, "EACCES")],
        ),
        (  # the kernel said whom it asked for
            *("openat", (), {"denied": [DAC_OVERRIDE]}),
            ["EACCES", 3],
            [again(DAC_OVERRIDE), RESUME],
            [("shown", DAC_OVERRIDE, "EACCES")],
        ),
        ("chown", (), {"denied": []}, ["EPERM"], [RESUME], []),  # it asked for none
        (  # for two, the second only when it had the first
            *("chown", (), {"denied": [[CHOWN], [FOWNER], []]}),
            ["EPERM", "EPERM", 0],
            [again(CHOWN), again(CHOWN, FOWNER), RESUME],
            [("shown", FOWNER, "EPERM"), ("shown", CHOWN, "EPERM")],
        ),
        (  # nobody listens: both are in the table
            *("chown", (), {}),
            ["EPERM", "EPERM", "EPERM", 0],
            [again(CHOWN), again(FOWNER), again(CHOWN, FOWNER), RESUME],
            [("shown", CHOWN, "EPERM"), ("shown", FOWNER, "EPERM")],
        ),
        (  # refused for it, and with it for something else
            *("openat", (), {"denied": [[DAC_READ_SEARCH], [DAC_OVERRIDE]]}),
            ["EACCES", "EPERM", 3],
            [again(DAC_READ_SEARCH), again(DAC_READ_SEARCH, DAC_OVERRIDE), RESUME],
            [("shown", DAC_OVERRIDE, "EPERM"), ("shown", DAC_READ_SEARCH, "EACCES")],
        ),
        ("kill", (1, 0), {}, ["EPERM", 0], [again(KILL), RESUME], [("probe", KILL, "EPERM")]),
        ("kill", (1, 15), {}, ["EPERM", 0], [again(KILL), RESUME], [("shown", KILL, "EPERM")]),
        # no table knows it, and nobody listened: all or nothing
        ("getcpu", (), {}, ["EPERM", 0], [WITH_ALL, RESUME], []),
        ("getcpu", (), {}, ["EINVAL"], [RESUME], []),
        # credentials are captured: all at once where only one can be meant
        (*MOUNT, ["EPERM", 0], [WITH_ALL, RESUME], [("shown", SYS_ADMIN, "EPERM")]),
        (
            *("setxattr", (500, 501), {}),
            ["ENODATA"],
            [RESUME],
            [],
        ),
        ("linkat", (0, 0, 0, 0, 0), {}, ["ENOENT"], [RESUME], []),
        (
            *("linkat", (0, 0, 0, 0, 0x1000), {}),
            ["ENOENT", 0],
            [again(DAC_READ_SEARCH), RESUME],
            [("shown", DAC_READ_SEARCH, "ENOENT")],
        ),
    ],
)
def test_what_is_done_after_each_result(
    call: str,
    args: tuple[int, ...],
    options: dict[str, Any],
    results: list[int | str],
    actions: list[Action],
    facts: list[tuple[str, int, str | None]],
) -> None:
    run = Run(**options)
    assert run.finished(run.thread(call, args), *results) == actions
    assert run.facts == facts


UNIX, INET = struct.pack("=H", 1), struct.pack("=H", 2)


@pytest.mark.parametrize(("family", "first"), [(INET, NET_BIND_SERVICE), (UNIX, DAC_READ_SEARCH)])
def test_an_address_says_what_can_have_been_refused(family: bytes, first: int) -> None:
    run = Run()
    thread = run.thread("bind", (3, 600, 16), proc=Proc({600: family + bytes(14)}))
    assert run.finished(thread, "EACCES") == [again(first)]


def test_only_trusted_attributes_are_hidden() -> None:
    for name, tried in ((b"trusted.x", True), (b"user.x", False)):
        run = Run()
        thread = run.thread("getxattr", (500, 501), proc=Proc({501: name}))
        (action,) = run.finished(thread, "ENODATA")
        assert (action is not RESUME) is tried


def test_what_nothing_helps_is_refused_as_with_all() -> None:
    run = Run()
    actions = run.finished(run.thread("openat"), *["EACCES"] * 11)
    assert actions[-1] is RESUME
    assert WITH_ALL in actions
    assert run.tree.refusals == {("openat", "EACCES", "prog", ()): actions.count(RESUME)}
    assert run.facts == []


def test_what_only_all_of_it_helps_is_one_of_the_candidates() -> None:
    run = Run()
    thread = run.thread("openat")
    while run.finished(thread, "EACCES") != [WITH_ALL]:
        pass
    run.finished(thread, 3)
    assert {how for how, _, _ in run.facts} == {"one-of"}
    assert {cap for _, cap, _ in run.facts} == set(ERRNOS["openat", "EACCES"])


def test_a_success_that_no_candidate_explains_is_said_to_be_unknown() -> None:
    run = Run()
    run.finished(run.thread("getcpu"), "EPERM", 0)
    assert run.said("unknown") == [["prog", "getcpu", "EPERM"]]


def test_what_cannot_be_changed_is_not_tried() -> None:
    run = Run()
    thread = run.thread("chown", injection_disabled=True)
    assert run.finished(thread, "EPERM") == [RESUME]
    assert thread.attempts is None


def test_a_restart_begins_the_tries_anew() -> None:
    run = Run()
    thread = run.thread("openat")
    assert run.finished(thread, "EACCES", -512) == [again(DAC_READ_SEARCH), RESUME]
    assert thread.attempts is None


def test_what_is_not_followed_is_only_watched_for_descriptors() -> None:
    run = Run()
    thread = run.thread("close", (7,), followed=False, procfs_fds={7: True})
    assert run.finished(thread, 0) == [RESUME]
    assert thread.process.procfs_fds == {}
    assert run.finished(calling(thread, "chown"), "EPERM") == [RESUME]


def test_in_a_namespace_of_ours_what_was_refused_could_be_granted_outside() -> None:
    run = Run(in_namespace=True, denied=[])
    thread = run.thread("sethostname", virtual=KEPT)
    assert run.finished(thread, "EPERM") == [RESUME]
    run = Run(in_namespace=True)
    thread = run.thread("chroot")
    actions = run.finished(thread, *["EPERM"] * 3)
    assert actions[0] == again(SYS_CHROOT)
    assert ("refused", SYS_CHROOT, "EPERM") in run.facts


def test_a_target_that_cannot_trace_its_own_is_told_of() -> None:
    run = Run()
    run.thread("getpid", tid=200)
    run.finished(run.thread("ptrace", (ATTACH, 200)), *["EPERM"] * 5)
    assert run.said("traces") == ["prog"]


def test_after_enough_proofs_it_stays_raised() -> None:
    run = Run()
    thread = run.thread("chown")
    for _ in range(ENOUGH):
        thread.effective, thread.attempts = KEPT, None
        run.finished(thread, "EPERM", 0)
    thread.effective, thread.attempts = KEPT, None
    assert run.policy.entered(thread) == BeginWith(KEPT | bit(CHOWN))
    run.finished(thread, 0)
    run.tree.evidence.finish(run.tree.refusals)
    assert run.said("counts") == [[[0, ENOUGH, 1]]]


def test_what_a_program_needs_to_become_another_is_shown_by_its_path() -> None:
    run = Run()
    thread = run.thread("execve", (500,), path=b"foreign/program")
    assert run.finished(thread, "EACCES") == [again(DAC_READ_SEARCH)]
    thread.process.proc = Proc()  # the memory of the new program
    run.policy.became_another(thread)
    run.policy.became_another(thread)
    assert run.facts == [("shown", DAC_READ_SEARCH, "EACCES")]
    assert run.said("fact")[0]["detail"] == "foreign/program"


@pytest.mark.parametrize(
    ("call", "args", "before", "settled"),
    [
        ("fork", (), [], True),
        ("clone", (17,), [], True),
        ("clone", (NEWUSER,), [], False),
        ("clone", (17,), ["EAGAIN"], False),
        ("chown", (), [], False),
    ],
)
def test_the_end_of_a_call_that_made_a_thread_tells_nothing_more(
    call: str, args: tuple[int, ...], before: list[str], settled: bool
) -> None:
    run = Run()
    thread = run.thread(call, args)
    run.finished(thread, *before)
    assert run.policy.is_settled(thread) is settled


# ------------------------------------------------------------------------------ set-gid bits


@pytest.mark.parametrize(
    ("call", "args", "mode", "state", "lost"),
    [
        ("chmod", (500, 0o2755), (None, b"f", 0o755), {}, True),
        ("chmod", (500, 0o2755), (None, b"f", 0o2755), {}, False),
        ("chmod", (500, 0o755), (None, b"f", 0o755), {}, False),
        ("fchmod", (7, 0o2755), (7, b"", 0o755), {}, True),
        ("fchmodat", (AT_FDCWD, 500, 0o2755), (None, b"f", 0o755), {}, True),
        ("fchmodat", (7, 500, 0o2755), (7, b"f", 0o755), {}, True),
        ("fchmodat", (8, 500, 0o2755), (7, b"f", 0o755), {}, False),  # it cannot be seen
        ("fchmod", (7, 0o2755), (7, b"", 0o755), {"effective": bit(FSETID)}, False),
        ("fchmod", (7, 0o2755), (7, b"", 0o755), {"virtual": 0}, False),
        ("fchmod", (7, 0o2755), (7, b"", 0o755), {"injection_disabled": True}, False),
    ],
)
def test_a_set_gid_bit_that_is_lost_without_an_error(
    call: str,
    args: tuple[int, ...],
    mode: tuple[int | None, bytes, int],
    state: dict[str, Any],
    lost: bool,
) -> None:
    run = Run()
    at, path, bits = mode
    proc = Proc({500: b"f"}, modes={(at, path): 0o100000 | bits})
    thread = run.thread(call, args, proc=proc, **{"effective": 0, **state})
    actions = run.finished(thread, 0, *[0] * lost)
    assert actions == ([RetryWith(bit(FSETID)), RESUME] if lost else [RESUME])
    assert run.facts == ([("shown", FSETID, None)] if lost else [])


def test_a_chmod_can_need_both() -> None:
    run = Run()
    proc = Proc({500: b"f"}, modes={(None, b"f"): 0o755})
    thread = run.thread("chmod", (500, 0o2755), proc=proc, effective=0)
    assert run.finished(thread, "EPERM", 0, 0) == [
        RetryWith(bit(FOWNER)),
        RetryWith(bit(FOWNER) | bit(FSETID)),
        RESUME,
    ]
    assert run.facts == [("shown", FSETID, None), ("shown", FOWNER, "EPERM")]


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
    run = Run()
    thread = run.thread(call, args, procfs_fds=before)
    run.finished(thread, result)
    assert thread.process.procfs_fds == after


@pytest.mark.parametrize(
    ("path", "fds"),
    [(b"/proc/1/stat", {9: True}), (b"/sys/power/state", {9: False}), (b"/etc/passwd", {})],
)
def test_opened_files_of_proc_are_kept_in_mind(path: bytes, fds: dict[int, bool]) -> None:
    run = Run()
    call, args, state = opening(path)
    thread = run.thread(call, args, **state)
    run.policy.entered(thread)
    run.finished(thread, 9)
    assert thread.process.procfs_fds == fds


def test_a_directory_of_proc_is_kept_in_mind() -> None:
    run = Run()
    thread = run.thread("chdir", proc=Proc(links={-1: "/proc/1"}))
    run.finished(thread, 0)
    assert thread.process.in_pseudo


@pytest.mark.parametrize(
    ("call", "args", "changes"),
    [
        ("chown", (500, 33, 34), False),
        ("lchown", (500, 33, 0xFFFFFFFF), False),
        ("fchown", (3, 0xFFFFFFFF, 34), False),
        ("fchownat", (AT_FDCWD, 500, 33, 34), False),
        ("chown", (500, 34, 34), True),
        ("fchownat", (AT_FDCWD, 500, 33, 33), True),
        ("chown", (501, 33, 34), True),  # a set-uid bit would go
        ("chown", (503, 33, 34), True),  # file capabilities would go
        ("chown", (502, 33, 34), True),  # nobody knows whose it is
        ("setgroups", (2, 600), False),
        ("setgroups", (1, 600), True),
        ("setgroups", (0, 0), True),
        ("setgroups", (2, 700), True),  # cannot be read
        ("chmod", (500, 0o644), True),
    ],
)
def test_a_call_that_asks_for_what_is_there_changes_nothing(
    call: str, args: tuple[int, ...], changes: bool
) -> None:
    modes = {(None, b"f"): 0o100644, (3, b""): 0o100644, (None, b"s"): 0o104755}
    modes[None, b"c"] = 0o100755
    memory = {500: b"f", 501: b"s", 502: b"gone", 503: b"c", 600: struct.pack("=2I", 7, 4)}
    run = Run()
    thread = run.thread(call, args, proc=Proc(memory, modes=modes, owner=33, groups="4 7 "))
    run.finished(thread, -errno.EPERM, 0)
    assert [fact["changes"] for fact in run.said("fact")] == [changes]


def test_what_changes_nothing_stays_raised_only_for_what_changes_nothing() -> None:
    """The next one may change something: its refusal is to be seen."""
    run = Run()
    proc = Proc({500: b"f"}, modes={(None, b"f"): 0o644}, owner=33)
    for _ in range(ENOUGH):
        thread = run.thread("chown", (500, 33, 34), proc=proc)
        assert run.policy.entered(thread) is RESUME
        run.finished(thread, -errno.EPERM, 0)
    assert run.policy.raised == {}
    thread = run.thread("chown", (500, 33, 34), proc=proc)
    assert run.policy.entered(thread) == BeginWith(KEPT | bit(CHOWN))
    assert run.policy.needs_failure_alone(thread)
    thread.effective = KEPT | bit(CHOWN)
    run.policy.ran_raised(thread)
    run.tree.evidence.finish(run.tree.refusals)
    assert run.said("counts") == [[[0, ENOUGH, 1]]]
    for call, args in (("chown", (500, 34, 34)), ("fchown", (3, 33, 34)), ("unlink", (500,))):
        assert run.policy.entered(run.thread(call, args, proc=proc)) is RESUME


@pytest.mark.parametrize(
    ("call", "state", "alone"),
    [
        ("unlink", {}, True),
        ("unlink", {"followed": False}, False),
        ("unlink", {"injection_disabled": True}, False),
        ("unlink", {"procfs_fds": {3: False}}, False),  # descriptors are followed
        ("unlink", {"attempts": Attempts(errno.EPERM, (CHOWN,), KEPT, ALL)}, False),
        ("linkat", {}, False),  # can be refused with ENOENT, which is frequent
        ("setuid", {}, False),  # its success changes sets
        ("socket", {}, False),
        ("clone", {}, False),
    ],
)
def test_the_end_of_a_call_is_looked_at_where_its_success_tells_something(
    call: str, state: dict[str, Any], alone: bool
) -> None:
    run = Run()
    assert run.policy.needs_failure_alone(run.thread(call, **state)) is alone


@pytest.mark.parametrize(("path", "alone"), [(b"/etc/passwd", True), (b"/proc/self/maps", False)])
def test_files_of_proc_are_kept_in_mind_when_they_are_opened(path: bytes, alone: bool) -> None:
    run = Run()
    call, args, more = opening(path)
    thread = run.thread(call, args, **more)
    run.policy.entered(thread)
    assert run.policy.needs_failure_alone(thread) is alone


def test_after_which_errors_a_call_is_looked_at() -> None:
    errors = telling_errors([("mlock", "ENOMEM"), ("linkat", "ENOENT"), ("open", "EACCES")])
    assert errors == {errno.EPERM, errno.EACCES, errno.ENOMEM}


def after_call(
    call: str, args: tuple[int, ...], result: int = 0, **state: Any
) -> tuple[Run, Thread]:
    run = Run()
    thread = run.thread(call, args, **state)
    run.finished(thread, result)
    return run, thread


def test_users_and_sets_change_as_they_would_without_us() -> None:
    _, thread = after_call("setuid", (33,), proc=Proc(uid=33, effective=0, permitted=0))
    assert (thread.uid, thread.virtual, thread.permitted) == (33, 0, 0)
    run, thread = after_call("capset", (600, 601), proc=Proc(effective=bit(5), permitted=bit(5)))
    assert thread.virtual == bit(5)
    assert run.said("own_set") == [["prog", bit(5)]]


def test_what_is_set_last_before_an_exec_is_handed_over() -> None:
    """Also by a child, and once: the next program has its own sets."""
    run, thread = after_call("capset", (600, 601), proc=Proc(permitted=bit(5)))
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
    run = Run(alone=False)
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
    run, thread = after_call("capget", (600, 700), proc=Proc({600: header}))
    proc = thread.process.proc
    assert isinstance(proc, Proc)
    assert {at: data for at, data in proc.memory.items() if at != 600} == shown
    assert run.said("looked") == ["prog"] * bool(shown)


def test_a_program_that_only_asks_for_the_version_is_let_be() -> None:
    run, _ = after_call("capget", (600, 0), proc=Proc({600: bytes(8)}))
    assert run.told == []


def test_a_netlink_request_says_what_it_wants() -> None:
    request = struct.pack("=IHHII", 16, 16, 0, 0, 0)  # RTM_NEWLINK
    run, thread = after_call(
        "socket", (16, 3, 0), 5, proc=Proc({600: request}, {5: "socket:[9]", 6: "socket:[8]"})
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
    proc = Proc(memory, {5: "socket:[9]"})
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
    run, thread = after_call(call, args, proc=Proc(namespace=namespace))
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
    run = Run()
    thread = run.thread(call, args)
    run.tree.add_child(thread, 101, None)
    run.tree.add_child(thread, 102, Proc())
    run.finished(thread, 0)
    assert [tid for tid, one in run.tree.threads.items() if one.filtered] == filtered
    assert not any(one.injection_disabled for one in run.tree.threads.values())


def test_io_uring_is_told_of() -> None:
    run, _ = after_call("io_uring_setup", (), 5)
    assert run.said("io_uring") == [True]


# ------------------------------------------------------------------------------ the tree


def test_threads_and_processes_come_and_go() -> None:
    run, proc, own = Run(), Proc(), Proc()
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
    run = Run()
    thread = run.thread("getpid")
    change(thread)
    assert run.tree.stops_at_each_call(thread) is stops


def test_a_new_program_keeps_the_descriptors_that_stay_open() -> None:
    proc = Proc(links={3: "/proc/1/stat", 4: "/etc/passwd", -1: "/sys"})
    process = Process(1, proc)
    process.look_for_pseudo()
    assert (process.procfs_fds, process.in_pseudo) == ({3: False}, True)
    process.procfs_fds[9] = True
    process.exec()
    assert (process.procfs_fds, proc.closed) == ({3: False}, 1)


def test_a_thread_that_is_gone_cannot_be_looked_at() -> None:
    class Dead(Proc):
        def status(self, tid: int) -> bytes:
            return b"Name:\tcat\nState:\tZ (zombie)\n"

    with pytest.raises(Gone):
        Thread(1, Process(1, Dead())).reload()
