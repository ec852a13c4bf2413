"""Which successes EPERM retries look at: set-gid bits that are lost without an error, and calls
that change nothing. And what stays raised."""

from __future__ import annotations

import errno
import struct
from typing import Any

import pytest

from capadvise.observe.retry.policy import ENOUGH, RESUME, BeginWith, RetryWith, telling_errors
from capadvise.observe.retry.thread import KEPT, Attempts, bit
from tests.support.traced_calls import (
    ALL,
    AT_FDCWD,
    CHOWN,
    FOWNER,
    FSETID,
    NEWUSER,
    PolicyRun,
    ProcTable,
    opening,
)


def test_after_enough_proofs_it_stays_raised() -> None:
    run = PolicyRun()
    thread = run.thread("chown")
    for _ in range(ENOUGH):
        thread.effective, thread.attempts = KEPT, None
        run.finished(thread, "EPERM", 0)
    thread.effective, thread.attempts = KEPT, None
    assert run.policy.entered(thread) == BeginWith(KEPT | bit(CHOWN))
    run.finished(thread, 0)
    run.tree.evidence.finish(run.tree.refusals)
    assert run.said("counts") == [[[0, ENOUGH, 1]]]


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
    run = PolicyRun()
    thread = run.thread(call, args)
    run.finished(thread, *before)
    assert run.policy.is_settled(thread) is settled


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
    run = PolicyRun()
    at, path, bits = mode
    proc = ProcTable({500: b"f"}, modes={(at, path): 0o100000 | bits})
    thread = run.thread(call, args, proc=proc, **{"effective": 0, **state})
    actions = run.finished(thread, 0, *[0] * lost)
    assert actions == ([RetryWith(bit(FSETID)), RESUME] if lost else [RESUME])
    assert run.facts == ([("shown", FSETID, None)] if lost else [])


def test_a_chmod_can_need_both() -> None:
    run = PolicyRun()
    proc = ProcTable({500: b"f"}, modes={(None, b"f"): 0o755})
    thread = run.thread("chmod", (500, 0o2755), proc=proc, effective=0)
    assert run.finished(thread, "EPERM", 0, 0) == [
        RetryWith(bit(FOWNER)),
        RetryWith(bit(FOWNER) | bit(FSETID)),
        RESUME,
    ]
    assert run.facts == [("shown", FSETID, None), ("shown", FOWNER, "EPERM")]


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
    run = PolicyRun()
    thread = run.thread(call, args, proc=ProcTable(memory, modes=modes, owner=33, groups="4 7 "))
    run.finished(thread, -errno.EPERM, 0)
    assert [fact["changes"] for fact in run.said("fact")] == [changes]


def test_what_changes_nothing_stays_raised_only_for_what_changes_nothing() -> None:
    """The next one may change something: its refusal is to be seen."""
    run = PolicyRun()
    proc = ProcTable({500: b"f"}, modes={(None, b"f"): 0o644}, owner=33)
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
    run = PolicyRun()
    assert run.policy.needs_failure_alone(run.thread(call, **state)) is alone


@pytest.mark.parametrize(("path", "alone"), [(b"/etc/passwd", True), (b"/proc/self/maps", False)])
def test_files_of_proc_are_kept_in_mind_when_they_are_opened(path: bytes, alone: bool) -> None:
    run = PolicyRun()
    call, args, more = opening(path)
    thread = run.thread(call, args, **more)
    run.policy.entered(thread)
    assert run.policy.needs_failure_alone(thread) is alone


def test_after_which_errors_a_call_is_looked_at() -> None:
    errors = telling_errors([("mlock", "ENOMEM"), ("linkat", "ENOENT"), ("open", "EACCES")])
    assert errors == {errno.EPERM, errno.EACCES, errno.ENOMEM}
