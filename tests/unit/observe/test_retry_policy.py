"""What EPERM retries do with a call: with which set it begins, and what is done after each result.
No thread is traced here; /proc is a table."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from capadvise.observe.retry.policy import RESUME, Action, BeginWith, Detach, Interrupt, RetryWith
from capadvise.observe.retry.thread import KEPT, bit
from tests.support.traced_calls import (
    ALL,
    AT_FDCWD,
    CHOWN,
    DAC_OVERRIDE,
    DAC_READ_SEARCH,
    ERRNOS,
    FOWNER,
    FSETID,
    KILL,
    NET_BIND_SERVICE,
    NEWNET,
    NEWNS,
    NEWUSER,
    PID,
    SYS_ADMIN,
    SYS_CHROOT,
    PolicyRun,
    ProcTable,
    calling,
    opening,
)

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
        ("openat", (AT_FDCWD, 500), {"proc": ProcTable({500: b"stat"}), "in_pseudo": True}, FULL),
        ("openat", (7, 500), {"proc": ProcTable({500: b"stat"}), "procfs_fds": {7: False}}, FULL),
        (
            "openat",
            (8, 500),
            {"proc": ProcTable({500: b"stat"}), "procfs_fds": {7: False}},
            RESTING,
        ),
        ("open", (500, 2), {"proc": ProcTable({500: b"/sys/x"})}, FULL),
        ("creat", (500,), {"proc": ProcTable({500: b"/sys/x"})}, FULL),
        (
            *("openat2", (AT_FDCWD, 500, 600)),
            {"proc": ProcTable({500: b"/sys/x", 600: b"\1" + bytes(7)})},
            FULL,
        ),
        ("openat2", (AT_FDCWD, 500, 600), {"proc": ProcTable({500: b"/sys/x"})}, RESTING),
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
        ("clone3", (600,), {"proc": ProcTable({600: struct.pack("<Q", NEWUSER)})}, FULL),
        ("clone3", (600,), {"proc": ProcTable({600: struct.pack("<Q", NEWNET)})}, RESTING),
        ("setns", (7, 0), {}, FULL),  # of any kind: it may be a user namespace
        ("setns", (7, NEWNET), {}, RESTING),
        ("prctl", (22, 2), {}, RESTING),
        ("access", (), {}, RESTING),
    ],
)
def test_with_which_set_a_call_begins(
    call: str, args: tuple[int, ...], state: dict[str, Any], action: Action
) -> None:
    run = PolicyRun()
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
    run = PolicyRun(can_suspend=False, alone=False)
    thread = run.thread(call, args)
    assert run.policy.entered(thread) == action
    run.finished(thread, 0)
    assert (thread.filtered, thread.injection_disabled) == ((action is FULL),) * 2


def test_who_lets_another_answer_its_calls_keeps_its_set() -> None:
    """They do not stop for us then: refused, they would not be tried again."""
    run = PolicyRun()
    thread = run.thread("seccomp", (1, 8))  # SECCOMP_FILTER_FLAG_NEW_LISTENER
    assert run.policy.entered(thread) == FULL
    run.finished(thread, 5)
    assert thread.injection_disabled
    assert run.said("listener") == ["prog"]


def test_messages_to_the_kernel_are_sent_with_all() -> None:
    run = PolicyRun()
    thread = run.thread(
        "socket", (16, 3, 0), proc=ProcTable(links={5: "socket:[9]", 6: "socket:[8]"})
    )
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
    run = PolicyRun(every_call=every_call)
    other = run.thread("getpid", tid=200)
    thread = run.thread("ptrace", (request_, pid))
    wanted = Interrupt(other) if action == "the other" else action
    assert run.policy.entered(thread) == wanted
    assert run.said("detached") == ([] if wanted is RESUME else ["prog"])


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
    run = PolicyRun(**options)
    assert run.finished(run.thread(call, args), *results) == actions
    assert run.facts == facts


UNIX, INET = struct.pack("=H", 1), struct.pack("=H", 2)


@pytest.mark.parametrize(("family", "first"), [(INET, NET_BIND_SERVICE), (UNIX, DAC_READ_SEARCH)])
def test_an_address_says_what_can_have_been_refused(family: bytes, first: int) -> None:
    run = PolicyRun()
    thread = run.thread("bind", (3, 600, 16), proc=ProcTable({600: family + bytes(14)}))
    assert run.finished(thread, "EACCES") == [again(first)]


def test_only_trusted_attributes_are_hidden() -> None:
    for name, tried in ((b"trusted.x", True), (b"user.x", False)):
        run = PolicyRun()
        thread = run.thread("getxattr", (500, 501), proc=ProcTable({501: name}))
        (action,) = run.finished(thread, "ENODATA")
        assert (action is not RESUME) is tried


def test_what_nothing_helps_is_refused_as_with_all() -> None:
    run = PolicyRun()
    actions = run.finished(run.thread("openat"), *["EACCES"] * 11)
    assert actions[-1] is RESUME
    assert WITH_ALL in actions
    assert run.tree.refusals == {("openat", "EACCES", "prog", ()): actions.count(RESUME)}
    assert run.facts == []


def test_what_only_all_of_it_helps_is_one_of_the_candidates() -> None:
    run = PolicyRun()
    thread = run.thread("openat")
    while run.finished(thread, "EACCES") != [WITH_ALL]:
        pass
    run.finished(thread, 3)
    assert {how for how, _, _ in run.facts} == {"one-of"}
    assert {cap for _, cap, _ in run.facts} == set(ERRNOS["openat", "EACCES"])


def test_a_success_that_no_candidate_explains_is_said_to_be_unknown() -> None:
    run = PolicyRun()
    run.finished(run.thread("getcpu"), "EPERM", 0)
    assert run.said("unknown") == [["prog", "getcpu", "EPERM"]]


def test_what_cannot_be_changed_is_not_tried() -> None:
    run = PolicyRun()
    thread = run.thread("chown", injection_disabled=True)
    assert run.finished(thread, "EPERM") == [RESUME]
    assert thread.attempts is None


def test_a_restart_begins_the_tries_anew() -> None:
    run = PolicyRun()
    thread = run.thread("openat")
    assert run.finished(thread, "EACCES", -512) == [again(DAC_READ_SEARCH), RESUME]
    assert thread.attempts is None


def test_what_is_not_followed_is_only_watched_for_descriptors() -> None:
    run = PolicyRun()
    thread = run.thread("close", (7,), followed=False, procfs_fds={7: True})
    assert run.finished(thread, 0) == [RESUME]
    assert thread.process.procfs_fds == {}
    assert run.finished(calling(thread, "chown"), "EPERM") == [RESUME]


def test_in_a_namespace_of_ours_what_was_refused_could_be_granted_outside() -> None:
    run = PolicyRun(in_namespace=True, denied=[])
    thread = run.thread("sethostname", virtual=KEPT)
    assert run.finished(thread, "EPERM") == [RESUME]
    run = PolicyRun(in_namespace=True)
    thread = run.thread("chroot")
    actions = run.finished(thread, *["EPERM"] * 3)
    assert actions[0] == again(SYS_CHROOT)
    assert ("refused", SYS_CHROOT, "EPERM") in run.facts


def test_a_target_that_cannot_trace_its_own_is_told_of() -> None:
    run = PolicyRun()
    run.thread("getpid", tid=200)
    run.finished(run.thread("ptrace", (ATTACH, 200)), *["EPERM"] * 5)
    assert run.said("traces") == ["prog"]


def test_what_a_program_needs_to_become_another_is_shown_by_its_path() -> None:
    run = PolicyRun()
    thread = run.thread("execve", (500,), path=b"foreign/program")
    assert run.finished(thread, "EACCES") == [again(DAC_READ_SEARCH)]
    thread.process.proc = ProcTable()  # the memory of the new program
    run.policy.became_another(thread)
    run.policy.became_another(thread)
    assert run.facts == [("shown", DAC_READ_SEARCH, "EACCES")]
    assert run.said("fact")[0]["detail"] == "foreign/program"
