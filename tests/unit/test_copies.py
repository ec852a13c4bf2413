"""The pure parts of copies: which calls are tried, what is counted, what is kept apart, and why
none are made."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from capadvise.linux.copies.client import Copies
from capadvise.linux.copies.free import is_free
from capadvise.linux.copies.limits import TryLimits
from capadvise.linux.copies.mode import why_not
from capadvise.linux.copies.thread import CopiedThread
from capadvise.linux.ftrace.event_order import Event, Noise
from capadvise.linux.kernel import procfs
from capadvise.reaction import Reaction
from tests.support.bpf import six
from tests.support.recordings import recording

# ------------------------------------------------------------------------------ what is tried


def test_the_same_call_of_one_place_is_tried_three_times() -> None:
    limits = TryLimits()
    assert [limits.wants("p", "chown", "here") for _ in range(5)] == [True] * 3 + [None] * 2
    assert limits.wants("p", "chown", "there") is True
    assert limits.wants("p", "fchown", "here") is True
    assert limits.wants("another", "chown", "here") is True


def test_places_beyond_the_limit_are_told_of_once() -> None:
    limits = TryLimits()
    asked = [limits.wants("p", "chown", place) for place in range(100)]
    tried = asked.index(False)
    assert asked == [True] * tried + [False] + [None] * (99 - tried)
    assert limits.wants("p", "chown", 0) is None  # more tries change nothing
    assert limits.wants("p", "fchown", 0) is True
    assert limits.wants("another", "chown", 0) is True


def test_there_is_an_end_to_all_tries() -> None:
    """And each program and call that was then not tried is told of."""
    limits = TryLimits()
    asked = [limits.wants(program, "chown", 0) for program in range(1000)]
    tried = asked.index(False)
    assert 0 < tried < 1000
    assert asked == [True] * tried + [False] * (1000 - tried)
    assert limits.wants(999, "chown", 0) is None
    assert [limits.wants(0, "chown", 0) for _ in range(2)] == [False, None]


def test_a_call_that_is_settled_is_tried_no_more() -> None:
    limits = TryLimits()
    assert limits.wants("p", "chown", "here") is True
    limits.settle("p", "chown")
    assert limits.wants("p", "chown", "here") is limits.wants("p", "chown", "there") is None
    assert limits.wants("p", "fchown", "here") is True


def test_of_a_loop_few_calls_are_looked_at() -> None:
    limits = TryLimits()
    looked = [at for at in range(1000) if limits.is_looked_at(7, "chown", 0x1000)]
    assert looked[:20] == list(range(20))
    assert 20 < len(looked) < 100
    assert looked[-1] > 900  # a place that comes late is found
    assert limits.is_looked_at(7, "chown", 0x2000)
    assert limits.is_looked_at(8, "chown", 0x1000)
    assert limits.is_looked_at(7, "lchown", 0x1000)


def test_the_limits_need_little_memory() -> None:
    limits = TryLimits()
    for thread in range(20000):
        limits.is_looked_at(thread, "chown", 0)
    assert limits.is_looked_at(0, "chown", 0)
    assert len(limits._asked) < 20000


# ------------------------------------------------------------------------------ what is counted


class Heard(Copies):
    """One to whom a test can tell things."""

    def sees(self, pid: int, call: str | None, program: str, *args: int) -> None:
        """A check in a call."""
        self.checked(pid, call, (call, six(*args)), program)

    def tell(self, *messages: object) -> None:
        data = b"".join(json.dumps(message).encode() + b"\n" for message in messages)
        os.write(self.write_fd, data)
        self.read()

    def says(self, *calls: tuple[int, str, str], wrote: str = "") -> None:
        """What came of calls of threads."""
        for tid, call, outcome in calls:
            said = {"tid": tid, "call": call, "which": 0, "outcome": outcome, "wrote": wrote}
            self.tell({"call": said})

    @property
    def reactions(self) -> tuple[Reaction, ...]:
        return self.merged(recording()).reactions


@pytest.fixture
def copies() -> Iterator[Heard]:
    with closing(Heard()) as heard:
        yield heard
        heard.given_away()


def test_outcomes_are_counted_by_program_and_call(copies: Heard) -> None:
    copies.sees(7, "chown", "sed")
    copies.sees(8, "chown", "sed")
    copies.sees(8, "fchown", "tar")
    copies.says(
        *((7, "chown", "WENT_ON"), (7, "chown", "MARKED"), (8, "chown", "REACTED")),
        *((8, "chown", "UNKNOWN"), (8, "fchown", "UNKNOWN")),
    )
    assert copies.reactions == (
        Reaction("sed", "chown", tried=3, went_on=2, marked=1, untried=1),
        Reaction("tar", "fchown", tried=0, went_on=0, marked=0, untried=1),
    )


def test_only_calls_count_in_which_a_check_was_made(copies: Heard) -> None:
    """By this thread, in this call; and the check may be known of later."""
    copies.says((7, "chown", "WENT_ON"), (8, "chown", "REACTED"), (7, "chmod", "REACTED"))
    copies.sees(7, "chown", "sed")
    copies.sees(7, "read", "sed")
    copies.sees(9, None, "sed")
    assert [(one.program, one.syscall, one.tried) for one in copies.reactions] == [
        ("sed", "chown", 1)
    ]


def test_calls_about_something_else_are_told_apart(copies: Heard) -> None:
    """A thread sets two socket options, and one of them takes a capability."""
    copies.sees(7, "setsockopt", "nginx", 3, 1, socket.SO_MARK)
    for which, outcome in ((socket.SO_MARK, "WENT_ON"), (socket.SO_PRIORITY, "REACTED")):
        said = {"tid": 7, "call": "setsockopt", "which": which, "outcome": outcome, "wrote": ""}
        copies.tell({"call": said})
    assert [(one.tried, one.went_on) for one in copies.reactions] == [(1, 1)]


def test_what_was_written_first_is_kept_in_part(copies: Heard) -> None:
    copies.sees(7, "chown", "sed")
    copies.says((7, "chown", "REACTED"))
    copies.says((7, "chown", "REACTED"), wrote="x" * 1000)
    copies.says((7, "chown", "REACTED"), wrote="another")
    (reaction,) = copies.reactions
    assert set(reaction.wrote) == {"x"}
    assert len(reaction.wrote) <= 200


ODD: list[Any] = [
    *(None, 1, "copier", [], {}, [1, 2], {"copier": "one"}, {"copy": None}, {"failed": 1}),
    *({"held": 7}, {"held": "7", "since": 1}, {"freed": 7, "until": 5}, {"freed": 99, "until": 1}),
    *({"call": None}, {"call": {}}, {"call": {"tid": 7, "call": "chown"}}),
    {"call": {"tid": "7", "call": "chown", "which": 0, "outcome": "WENT_ON", "wrote": ""}},
    {"call": {"tid": 7, "call": "reboot", "which": 0, "outcome": "WENT_ON", "wrote": ""}},
    {"call": {"tid": 7, "call": "chown", "which": 0, "outcome": "never heard of", "wrote": ""}},
    {"call": {"tid": 7, "call": 5, "which": 0, "outcome": "WENT_ON", "wrote": ""}},
]


@pytest.mark.parametrize("message", ODD, ids=map(str, ODD))
def test_messages_that_make_no_sense_change_nothing(copies: Heard, message: object) -> None:
    copies.sees(7, "chown", "sed")
    copies.sees(7, "reboot", "sed")
    copies.tell(message)
    assert copies.merged(recording()) == recording()
    assert (copies.pid, copies.copies, copies.cautions) == (0, set(), ())


def test_a_flood_of_messages_needs_little_memory(copies: Heard) -> None:
    for pid in range(5000):
        copies.tell({"copy": pid}, {"held": pid, "since": 1})
    copies.sees(7, "chown", "sed")
    copies.says(*[(7, "chown", "WENT_ON")] * 5000)
    assert len(copies.copies) < 5000
    assert copies.reactions[0].tried < 5000


def event(pid: int, when: int) -> Event:
    """As much of one as is looked at."""
    return cast("Event", (when, None, pid))


def test_what_copies_do_is_kept_apart(copies: Heard) -> None:
    copies.now = lambda: time.monotonic_ns()
    events, noise = [event(5, 10), event(6, 11), event(7, 12)], cast("Noise", {})
    assert copies.without(events, noise) == (events, noise)
    copies.tell({"copier": 4}, {"copy": 6})
    assert copies.pid == 4
    assert list(copies.without(events, noise)[0]) == [event(5, 10), event(7, 12)]


def test_what_a_thread_is_made_to_do_while_it_is_held_is_kept_apart(copies: Heard) -> None:
    """By the time: what it does before and after is its own."""
    ahead = 10**12  # the events' clock has drifted
    copies.now = lambda: time.monotonic_ns() + ahead
    second, begin = 10**9, 10**15
    times = [begin - second, begin + second // 2, begin + 2 * second]
    events = [event(pid, ahead + when) for when in times for pid in (5, 7)]
    copies.tell({"copy": 6}, {"held": 7, "since": begin})
    held, _ = copies.without(events, cast("Noise", {}))
    assert [e[2] for e in held] == [5, 7, 5, 5]
    copies.tell({"freed": 7, "until": begin + second})
    freed, _ = copies.without(events, cast("Noise", {}))
    assert [e[2] for e in freed] == [5, 7, 5, 5, 7]


def test_the_number_of_a_copy_can_be_another_process_later(copies: Heard) -> None:
    copies.now = time.monotonic_ns
    second, end = 10**9, 10**15
    events = [event(6, end - second), event(6, end + second)]
    copies.tell({"copy": 6}, {"ended": 5, "until": end})
    assert list(copies.without(events, cast("Noise", {}))[0]) == []
    copies.tell({"ended": 6, "until": end})
    assert list(copies.without(events, cast("Noise", {}))[0]) == [events[1]]
    assert not copies.copies


def test_a_failure_is_said(copies: Heard) -> None:
    assert copies.merged(recording()).cautions == ()
    copies.tell({"failed": "no more memory"})
    (caution,) = copies.merged(recording()).cautions
    assert "no more memory" in caution
    assert "ENOSYS" in caution


def test_the_end_is_heard(copies: Heard) -> None:
    copies.tell({"copier": 4})
    assert not copies.ended
    os.close(copies.write_fd)
    copies.write_fd = os.open(os.devnull, os.O_WRONLY)
    copies.read()
    assert copies.ended
    copies.read()
    assert copies.pid == 4


# ------------------------------------------------------------------------------ when none is made


@pytest.mark.parametrize(
    ("machine", "release", "effective", "filters", "reason"),
    [
        ("x86_64", "6.18.1", "1ffffffffff", "0", None),
        ("x86_64", "5.19-rc8", "1ffffffffff", "0", None),
        (
            "x86_64",
            "5.10.0-30",
            "1ffffffffff",
            "0",
            "copies take Linux 5.19, and this is 5.10.0-30",
        ),
        (
            "aarch64",
            "6.18",
            "1ffffffffff",
            "0",
            "copies are made on x86_64 only, and this is aarch64",
        ),
        ("x86_64", "6.18", "1ffffdfffff", "0", "copies take SYS_ADMIN"),
        ("x86_64", "6.18", "1fffff7ffff", "0", "copies take SYS_PTRACE"),
        ("x86_64", "6.18", "1ffffffffff", "1", "copies cannot be made below a seccomp filter"),
    ],
)
def test_why_no_copies_are_made(
    machine: str, release: str, effective: str, filters: str, reason: str | None
) -> None:
    names = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    status = "".join(f"{name}:\t{effective:0>16}\n" for name in names)
    status += f"Seccomp_filters:\t{filters}\n"
    assert why_not(machine, release, status) == reason


def test_calls_that_take_no_capability_are_let_go(tmp_path: Path) -> None:
    """Judged of a thread that waits in the call: here, of our own."""
    mine = tmp_path / "mine"
    mine.touch()
    status = procfs.parse_status((procfs.PROC / "self" / "status").read_text())
    foreign = {**status, "Uid": "4242\t4242\t4242\t4242"}
    path = ctypes.create_string_buffer(os.fsencode(mine))
    at = ctypes.addressof(path)
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    same = ctypes.create_string_buffer(struct.pack("<qq", hard, hard))
    limit = ctypes.addressof(same)
    here, cwd = CopiedThread(os.getpid()), -100 & (1 << 64) - 1
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    with mine.open() as file:
        rows = [
            ("chmod", (at, 0o644), True),
            ("fchmod", (file.fileno(), 0o644), True),
            ("fchmodat", (cwd, at, 0o644), True),
            ("utimensat", (cwd, at, 0, 0), True),
            ("utimensat", (file.fileno(), 0, 0, 0), True),
            ("chown", (at, 1, 1), False),
            ("setxattr", (at, 0, 0, 0), False),  # security.capability takes SETFCAP of the owner
            ("setpriority", (0, 0, nice), True),
            ("setpriority", (0, 0, nice - 1), False),
            ("setpriority", (0, 1, nice), False),  # another process
            ("setrlimit", (resource.RLIMIT_CORE, limit), True),
            ("prlimit64", (0, resource.RLIMIT_CORE, limit, 0), True),
            ("prlimit64", (1, resource.RLIMIT_CORE, limit, 0), False),
            ("chmod", (8, 0o644), False),  # no memory there
        ]
        for call, args, free in rows:
            assert is_free(here, status, call, six(*args)) is free, (call, args)
        for call, args, _ in rows[:5]:
            assert not is_free(here, foreign, call, six(*args)), (call, args)
