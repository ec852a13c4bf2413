"""The pure parts of EPERM retries: what is stopped, what is tried, what is said of it."""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from capadvise.caps import Cap, from_mask, parse_set
from capadvise.catalog import default
from capadvise.decide import Proof, Verdict, decide
from capadvise.linux.kernel import json_lines, seccomp_program
from capadvise.linux.retry import calls, decode, netlink, subids
from capadvise.linux.retry.arguments import of_family
from capadvise.linux.retry.attempts import Attempts, bit, members, order
from capadvise.linux.retry.client import Listener
from capadvise.linux.retry.evidence import EvidenceLog
from capadvise.linux.retry.launch import read_filter, send_filter, start_tracer
from capadvise.linux.retry.thread import after_uids, is_pseudo
from capadvise.linux.supervise import guardian
from capadvise.recording import Check, DeniedCheck, Namespace, RefusedBy, RefusedCall, Retried
from capadvise.refused import refusals
from tests.support import bpf
from tests.support.cost import loaded
from tests.support.recordings import HOST, recording
from tests.support.recordings import check as checked

ARCH = bpf.X86_64
DAC_OVERRIDE, DAC_READ_SEARCH, FSETID, SETUID, NET_ADMIN, SYS_ADMIN = 1, 2, 4, 7, 12, 21
EVERYTHING = (1 << 41) - 1

# ------------------------------------------------------------------------------ the filter


def run_bpf(code: bytes, number: int, args: tuple[int, ...] = (), arch: int = ARCH) -> bool:
    """Whether a filter stops a call."""
    return bpf.answer(code, number, args, arch) == bpf.TRACE


@pytest.mark.parametrize(
    ("call", "args", "stopped"),
    [
        ("openat", (), True),
        ("read", (), False),
        ("fcntl", (3, 4, 0o1000000), True),  # O_NOATIME
        ("fcntl", (3, 4, 0o4000), False),  # O_NONBLOCK
        ("fcntl", (3, 1031, 4096), True),
        ("prlimit64", (0, 3, 0), False),
        ("prlimit64", (1, 3, 0), True),
        ("prlimit64", (0, 3, 0x7FFC00000000), True),
        ("prlimit64", (0, 3, 0x1000), True),
        ("fcntl", (3, 1), False),
        ("ioctl", (1, 0x5401), False),
        ("ioctl", (1, 0x8914), True),
        ("mmap", (0, 4096, 3, 0x22), False),
        ("mmap", (0, 4096, 3, 0x2022), True),
        ("mmap", (4096, 4096, 3, 0x32), True),
        ("mmap", (0x7F0000000000, 4096, 3, 0x32), False),
        ("madvise", (0, 4096, 100), True),
        ("madvise", (0, 4096, 4), False),
        ("prctl", (15,), False),
        ("prctl", (24,), True),
        ("faccessat2", (0, 0, 0, 0x200), True),
        ("faccessat2", (0, 0, 0, 0), False),
    ],
)
def test_the_filter_stops_what_can_be_refused(
    call: str, args: tuple[int, ...], stopped: bool
) -> None:
    names = sorted(calls.stopped(name for name, _ in default().errnos) | {"read"})
    numbers = {name: number for number, name in enumerate(names)}
    listed = [number for name, number in numbers.items() if name != "read"]
    only = {numbers[name]: item for name, item in calls.ONLY.items() if name in numbers}
    other = {number + 1000 for number in listed}
    code = seccomp_program.program([(ARCH, listed, only), (calls.I386, other, {})])
    assert run_bpf(code, numbers[call], args) is stopped
    assert not run_bpf(code, numbers[call], args, arch=calls.I386)
    assert run_bpf(code, numbers["openat"] + 1000, args, arch=calls.I386)
    assert run_bpf(code, numbers[call], args, arch=0xC00000B7)  # so that it is known of
    assert run_bpf(code, numbers[call] | seccomp_program.FIRST_X32, args)
    assert len(code) // 8 < 4096  # BPF_MAXINSNS


@pytest.mark.parametrize(
    ("number", "name", "stopped"),
    [
        (182, "chown", True),  # of 16 bits
        (212, "chown", True),
        (208, "setresuid", True),
        (195, "stat", True),
        (300, "newfstatat", True),
        (221, "fcntl", True),
        (192, "mmap", True),  # mmap2
        (90, None, False),  # the old mmap: its arguments stand in memory
        (102, "socketcall", True),
        (264, "clock_settime", True),
        (404, "clock_settime", True),
        (3, "read", False),
        (20, None, False),  # getpid
    ],
)
def test_calls_of_32_bits_are_known_by_the_names_of_the_others(
    number: int, name: str | None, stopped: bool
) -> None:
    rows = {call for call, _ in default().errnos}
    way = calls.interface(calls.I386, default().syscalls.numbers["i386"], rows)
    call = way.calls.get(number)
    assert (call and call.name, number in way.stopped) == (name, stopped)
    assert way.capset == 185


def test_each_call_of_the_error_table_is_stopped_or_known_to_be_too_frequent() -> None:
    rows = {name for name, _ in default().errnos}
    assert rows - calls.stopped(rows) == calls.UNSTOPPED & rows
    assert {"accept", "mremap", "read", "write"} <= calls.UNSTOPPED


def test_each_call_that_is_stopped_has_a_number() -> None:
    """The tracer knows no numbers but those of the catalog's table."""
    rows = {name for name, _ in default().errnos}
    tables = default().syscalls.numbers.values()
    nameless = calls.stopped(rows) - {name for table in tables for name in table}
    assert nameless == {"pciconfig_read", "pciconfig_write"}  # of other processors


# ------------------------------------------------------------------------------ what is tried


@pytest.mark.parametrize(
    ("candidates", "limit", "tried"),
    [
        ((2, 1), EVERYTHING, [(2,), (1,), (1, 2), "all"]),
        ((12,), EVERYTHING, [(12,), "all"]),
        ((12,), bit(12) | bit(3), [(12,), "all"]),
        ((12,), bit(12), ["all"]),  # once: it is all that there is
        ((12,), bit(3), ["all"]),  # what it gave up is not raised for it
        ((12,), 0, []),
        ((1, 2, 3, 4, 5, 6), EVERYTHING, [(1,), (2,), (3,), (4,), (5,), (6,), "all"]),
    ],
)
def test_small_sets_first_and_the_programs_own_last(
    candidates: tuple[int, ...], limit: int, tried: list[object]
) -> None:
    attempts = Attempts(1, candidates, 0, limit)
    masks: list[object] = []
    while (mask := attempts.next()) is not None:
        masks.append("all" if mask == limit else members(mask))
    assert masks == tried


def test_a_lone_candidate_is_shown_by_the_whole_set_too() -> None:
    attempts = Attempts(1, (SYS_ADMIN,), 0, EVERYTHING, capture=True)
    assert attempts.next() == EVERYTHING
    assert (attempts.shown, attempts.exact) == ((SYS_ADMIN,), True)


@pytest.mark.parametrize(
    ("table", "denied", "in_table", "candidates"),
    [
        ((2, 1, 21), None, True, (2, 1, 21)),
        ((2, 1, 21), [1], True, (1, 21)),
        ((2, 1), [], True, ()),  # the kernel asked nothing: something else refused it
        ((21,), [], True, (21,)),  # SYS_ADMIN is not listened for
        ((), [9, 21], False, (9, 21)),
    ],
)
def test_the_kernels_own_question_goes_before_the_table(
    table: tuple[int, ...], denied: list[int] | None, in_table: bool, candidates: tuple[int, ...]
) -> None:
    assert order(table, denied, SYS_ADMIN, in_table=in_table) == candidates


def test_ports_and_paths_of_sockets_are_told_apart() -> None:
    row = [10, DAC_READ_SEARCH, DAC_OVERRIDE]
    assert of_family(row, struct.pack("=H", socket.AF_INET)) == [10]
    assert of_family(row, struct.pack("=H", socket.AF_UNIX)) == [2, 1]


@pytest.mark.parametrize(
    ("virtual", "permitted", "before", "after", "uid", "now", "set_now"),
    [
        (0xFF, 0xFF, bit(7), 0, 0, 33, 0),  # root becomes somebody: cleared
        (0, 0xFF, 0, 0xFF, 33, 0, 0xFF),  # and comes back: filled
        (0xFF, 0xFF, bit(7), bit(7), 0, 33, 0xFF),  # SECBIT_NO_SETUID_FIXUP
        (0xFF, 0xFF, bit(7), bit(7), 0, 0, 0xFF),  # to its own id
    ],
)
def test_the_effective_set_after_a_change_of_users(
    virtual: int, permitted: int, before: int, after: int, uid: int, now: int, set_now: int
) -> None:
    assert after_uids(virtual, permitted, before, after, uid, now) == set_now


# ------------------------------------------------------------------------------ what is said


class Fake:
    """Memory of a thread."""

    def __init__(self, **texts: bytes) -> None:
        self.texts = dict(enumerate(texts.values(), 100))

    def text(self, address: int) -> bytes:
        return self.texts.get(address, b"")

    def raw(self, address: int, size: int) -> bytes:
        return self.texts.get(address, b"")[:size]

    def folder(self, fd: int) -> str:
        return "/cwd" if fd < 0 else f"/fd{fd}"


PORT_80 = struct.pack("=H", 2) + b"\0\x50\0\0\0\0" + b"\0" * 8
AT_FDCWD = 0xFFFFFFFFFFFFFF9C


@pytest.mark.parametrize(
    ("call", "args", "said"),
    [
        ("openat", (AT_FDCWD, 100, 0o1000000, 0), "/a, reading, O_NOATIME"),
        ("openat", (7, 101, 0o101, 0o644), "/fd7/b, writing, mode 0644"),
        ("fchown", (3, 33, 0xFFFFFFFF), "/fd3, uid 33"),
        ("bind", (3, 102, 16), "0.0.0.0:80"),
        ("kill", (812, 15), "SIGTERM"),
        ("kill", (0xFFFFFFFFFFFFFFFF, 99), "signal 99"),
        ("setns", (3, 0x40000000), "/fd3, CLONE_NEWNET"),
        ("setresuid", (0xFFFFFFFF, 33, 0xFFFFFFFFFFFFFFFF), "euid 33"),
        ("ptrace", (16, 0xFFFFFFFF), "request 16, pid -1"),
        ("linkat", (AT_FDCWD, 100, 7, 101), "/a, /fd7/b"),
        ("setsockopt", (3, 1, 32), "level 1, option 32"),
        ("openat2", (7, 0), "/fd7"),
        ("ioctl", (3, 0x8914), "/fd3, SIOCSIFFLAGS"),
        ("unshare", (0x10020000,), "CLONE_NEWNS|CLONE_NEWUSER"),
        ("mount", (999, 100, 103, 0, 0), "/a, tmpfs"),
        ("mknodat", (AT_FDCWD, 100, 0o20666, 0x103), "/a, mode 0666, device 1:3"),
        ("acct", (0,), None),
        ("no such call", (), None),
    ],
)
def test_arguments_in_words(call: str, args: tuple[int, ...], said: str | None) -> None:
    memory = Fake(a=b"/a", b=b"b", c=PORT_80, d=b"tmpfs")
    assert decode.detail(call, (*args, *(0,) * 6), memory) == said


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", ""),
        (b"\x01\0/run/a.sock\0junk", "/run/a.sock"),
        (b"\x01\0\0hidden", "@hidden"),
        (struct.pack("=HHI", 10, 0x5000, 0) + b"\0" * 20, "[::]:80"),
        (struct.pack("=HHII", 16, 0, 0, 1), "netlink, groups 0x1"),
        (b"\x02\0", "address of family 2"),
    ],
)
def test_addresses(raw: bytes, said: str) -> None:
    assert decode.address(raw) == said


def message(kind: int, more: bytes = b"") -> bytes:
    return struct.pack("=IHHII", 16 + len(more), kind, 0, 0, 0) + more


@pytest.mark.parametrize(
    ("protocol", "sent", "wanted"),
    [
        (netlink.ROUTE, message(20), ("NET_ADMIN", "RTM_NEWADDR")),
        (netlink.ROUTE, message(18), None),  # RTM_GETLINK
        (netlink.ROUTE, message(18) + message(17), ("NET_ADMIN", "RTM_DELLINK")),
        (netlink.NETFILTER, message(0x0A00), ("NET_ADMIN", "netfilter")),
        (netlink.AUDIT, message(1112), ("AUDIT_WRITE", "audit message 1112")),
        (netlink.AUDIT, message(1001), ("AUDIT_CONTROL", "audit message 1001")),
        (16, message(0x10), None),  # the generic family: the kernel's table is not ours
        (netlink.ROUTE, b"\0" * 16, None),
        (netlink.ROUTE, b"short", None),
    ],
)
def test_netlink_requests(protocol: int, sent: bytes, wanted: tuple[str, str] | None) -> None:
    assert netlink.wanted(protocol, sent) == wanted


@pytest.mark.parametrize(
    ("path", "pseudo"),
    [("/proc", True), ("/proc/1/stat", True), ("/sys/x", True), ("/process", False), ("/", False)],
)
def test_pseudo_files(path: str, pseudo: bool) -> None:
    assert is_pseudo(path) is pseudo


SUBUID = "root:100000:65536\nann:165536:65536\n1001:300000:10\nbad:x:y\n\n"


@pytest.mark.parametrize(
    ("name", "number", "found"),
    [("ann", 1000, (165536, 65536)), ("bob", 1001, (300000, 10)), ("bad", 7, None)],
)
def test_subordinate_ids(name: str, number: int, found: tuple[int, int] | None) -> None:
    assert subids.subordinate(SUBUID, name, number) == found


# ------------------------------------------------------------------------------ what it becomes

RECORDING = recording(host=replace(HOST, observer="retry"))


def check(cap: int, how: Retried, call: str = "openat", **more: object) -> Check:
    fields: dict[str, object] = {"result": 0, "without": "EACCES", "retried": how, **more}
    return Check(
        *(1, Cap(cap), how is not Retried.REFUSED, Namespace.TARGET, (), "cat", 7, 1, 0.1),
        syscall=call,
        **fields,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("seen", "verdict", "proof", "recommended"),
    [
        (check(12, Retried.SHOWN, "ioctl"), Verdict.USED, Proof.RETRY, {12}),
        # the preference list: DAC_OVERRIDE would do, and is in every runtime's default
        (check(2, Retried.SHOWN), Verdict.ADVISORY, Proof.RETRY, {1}),
        (check(2, Retried.SHOWN, "open_by_handle_at"), Verdict.USED, Proof.RETRY, {2}),
        (check(2, Retried.SHOWN, result=-2), Verdict.ADVISORY, Proof.NONE, set()),
        (check(1, Retried.PROBE), Verdict.ADVISORY, Proof.NONE, set()),
        (check(12, Retried.ASKED, "sendmsg"), Verdict.USED, Proof.CALL_SITE, {12}),
        (check(10, Retried.REFUSED, "bind", result=-13), Verdict.USED, Proof.NONE, {10}),
    ],
)
def test_verdicts_of_retried_calls(
    seen: Check, verdict: Verdict, proof: Proof, recommended: set[int]
) -> None:
    proposal = decide(replace(RECORDING, checks=(seen,)), default())
    need = proposal.need(seen.cap)
    assert (need.verdict, need.proof) == (verdict, proof)
    assert proposal.recommended == recommended
    uncertain = seen.retried is Retried.REFUSED
    assert bool(proposal.need(seen.cap).uncertain) is uncertain


@pytest.mark.parametrize(
    ("observer", "lacked", "recommended"),
    [
        ("tracepoint+retry", (), set()),
        ("tracepoint+retry", ("FOWNER",), {Cap.parse("CHOWN")}),
        ("tracepoint", (), {Cap.parse("CHOWN")}),
    ],
)
def test_what_a_try_was_granted_in_vain_is_no_need(
    observer: str, lacked: tuple[str, ...], recommended: set[Cap]
) -> None:
    """A chown of an immutable file fails with all capabilities."""
    chown = checked("CHOWN", "capable_wrt_inode_uidgid setattr_prepare", "fchownat", result=-1)
    denied = [
        replace(checked(cap, "capable_wrt_inode_uidgid setattr_prepare", "fchownat", result=-1),
                granted=False)
        for cap in lacked
    ]  # fmt: skip
    held = replace(RECORDING.held, permitted=RECORDING.held.permitted - parse_set(lacked))
    host = replace(RECORDING.host, observer=observer)
    seen = replace(RECORDING, host=host, held=held, checks=(chown, *denied))
    assert decide(seen, default()).recommended == recommended


def test_what_the_tracer_tells_becomes_a_recording() -> None:
    listener = Listener(every_call=False)

    def tell(message: Mapping[str, Any]) -> None:
        os.write(listener.write_fd, json.dumps(message).encode() + b"\n")

    evidence = EvidenceLog(tell, lambda: 100.5)
    evidence.tell({"pid": 5})
    evidence.tell({"started": 100.0})
    facts = {"errno": "EPERM", "result": 0, "together": [], "pid": 7, "uid": 0, "changes": True}
    for detail in ("a", "a", *(f"file {number}" for number in range(30))):
        evidence.note("shown", 0, "chown", "fchownat", detail, **facts)
    evidence.ran_raised("chown", "fchownat")
    evidence.tell_once(looked="capsh")
    evidence.tell_once(own_set=["capsh", 1])
    evidence.tell_once(own_set=["bird", 3])
    evidence.tell_once(traces="gdb")
    evidence.finish(Counter({("mount", "EPERM", "mount", ()): 2}))
    os.close(listener.write_fd)
    listener.read()
    listener.finish()
    got = listener.merged(RECORDING)
    assert (listener.pid, listener.ended, listener.lossless) == (5, True, True)
    assert sum(item.count for item in got.checks) == 32
    assert [item.detail for item in got.checks[:2]] == ["a", "file 0"]
    assert got.checks[-1].detail == "(others) (and 1 more while it was held)"
    assert got.checks[0].first == 0.5
    assert [(item.syscall, item.count) for item in got.refused_calls] == [("mount", 2)]
    assert got.fixed_capsets == (("bird", frozenset({Cap(0), Cap(1)})),)
    assert "gdb traces other processes" in got.cautions[0]


def test_who_refused_is_known_of_retried_calls_too() -> None:
    """Tries are refused for want of a capability: the tracer tells which refusals stood. What
    nothing but the observer saw no try could have changed."""
    listener = Listener(every_call=False)
    stood: dict[tuple[str, str, str, tuple[int, ...]], int] = {
        ("openat", "EACCES", "cat", (2, 1)): 3,
        ("openat", "EPERM", "touch", ()): 1,
        ("unlinkat", "EPERM", "rm", ()): 1,
        ("clone", "EAGAIN", "sh", ()): 2,
        ("linkat", "ENOENT", "ln", ()): 1,
    }
    tell = partial(json_lines.send, listener.write_fd)
    EvidenceLog(tell, lambda: 1.0).finish(Counter(stood))
    os.close(listener.write_fd)
    listener.read()
    asked = [
        replace(
            checked(cap, "capable_wrt_inode_uidgid generic_permission", "openat"), granted=False
        )
        for cap in ("DAC_READ_SEARCH", "DAC_OVERRIDE")
    ]
    tries = DeniedCheck(Cap.parse("CHOWN"), ("setattr_prepare",), Namespace.TARGET)
    seen = replace(
        RECORDING,
        host=replace(RECORDING.host, observer="tracepoint+retry"),
        checks=tuple(replace(item, program="cat", uid=7) for item in asked),
        refused_calls=(
            RefusedCall("fchownat", "EPERM", "chown", 1, 0, entered=False),
            RefusedCall("fchownat", "EPERM", "chown", 1, 0, entered=True, denied=(tries,)),
            RefusedCall("unlinkat", "EPERM", "rm", 1, 0),
            RefusedCall("clone", "EAGAIN", "sh", 6, 0),
        ),
    )
    judged = refusals(listener.merged(seen), default(), None)
    assert [(item.syscall, item.program, item.by, item.count) for item in judged] == [
        ("clone", "sh", RefusedBy.LIMIT, 2),
        ("fchownat", "chown", RefusedBy.SECCOMP, 1),
        ("openat", "cat", RefusedBy.MODE, 3),
        ("openat", "touch", RefusedBy.UNKNOWN, 1),
        ("unlinkat", "rm", RefusedBy.UNKNOWN, 1),
    ]


@pytest.mark.parametrize(
    ("alone", "imports", "mask", "handed", "demanded"),
    [
        (True, "capget", 3, False, False),  # nobody sees what it imports
        (False, "capget", 3, False, True),
        (False, "cap_get_flag", 3, False, False),
        (False, "cap_get_flag", 3, True, True),
        (False, "capget", (1 << 30) - 1, True, False),  # its own, with a few changes
    ],
)
def test_who_looks_at_what_it_holds_and_can_test_it_adapts(
    alone: bool, imports: str, mask: int, handed: bool, demanded: bool
) -> None:
    listener = Listener(every_call=False)
    listener.plan("prog", default(), None, alone=alone)
    told = [{"looked": "prog"}, {"own_set": ["prog", mask]}, {"handed": ["prog", mask]}]
    for message in told if handed else told[:2]:
        os.write(listener.write_fd, json.dumps(message).encode() + b"\n")
    os.close(listener.write_fd)
    listener.read()
    seen = replace(RECORDING, imports=frozenset({("prog", imports)}))
    assert listener.merged(seen).fixed_capsets == (("prog", from_mask(mask)),) * demanded


def test_who_drops_one_after_the_other_keeps_its_own() -> None:
    """As sssd does; one that leaves most of it at once has a set of its own in mind."""
    every = (1 << 41) - 1
    for masks, demanded in (
        ([every >> dropped for dropped in range(1, 41)], None),
        ([every >> 1, 0b111], 0b111),
    ):
        listener = Listener(every_call=False)
        listener.plan("prog", default(), None, alone=False)
        for message in ({"looked": "prog"}, *({"own_set": ["prog", mask]} for mask in masks)):
            os.write(listener.write_fd, json.dumps(message).encode() + b"\n")
        os.close(listener.write_fd)
        listener.read()
        fixed = listener.merged(RECORDING).fixed_capsets
        assert fixed == (("prog", from_mask(demanded or 0)),) * bool(demanded)


def test_a_tracer_that_was_killed_is_told_of() -> None:
    listener = Listener(every_call=False)
    os.write(listener.write_fd, json.dumps({"started": 1.0}).encode() + b"\n")
    os.close(listener.write_fd)
    listener.read()
    listener.finish()
    assert "killed" in listener.merged(RECORDING).cautions[0]


def test_who_writes_to_the_tracers_pipe_without_end_fills_no_memory() -> None:
    """A target is root: it can open the pipe. What is beyond is dropped, and said."""
    listener = Listener(every_call=False)
    child = os.fork()
    if child == 0:
        for number in range(2500):
            tell = json.dumps({"looked": f"{number} {'x' * 10_000}"})
            os.write(listener.write_fd, f"{tell}\n".encode())
        os._exit(0)
    os.close(listener.write_fd)
    while not listener.ended:
        select.select([listener.fd], [], [])
        listener.read()
    os.waitpid(child, 0)
    listener.finish()
    assert sum(map(len, listener._looked)) < 1 << 24
    assert "more than is kept" in listener.merged(RECORDING).cautions[0]


def test_a_tracer_that_cannot_be_executed_is_no_second_guardian(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    read, write = os.pipe()
    plan = {"report": write, "path": [], "tracer": {}}
    assert start_tracer(plan, 1, ()) == {"failed": "start the tracer"}
    assert os.read(read, 1) == b""  # nobody holds the other end
    os.wait()


def test_a_filter_that_does_not_come_whole_is_not_waited_for() -> None:
    """Its sender is gone: the target is not executed, and does not wait for ever either."""
    read, write = os.pipe()
    send_filter(write, b"x" * 80)
    os.close(write)
    assert os.read(read, 1) == b"g"
    short = os.read(read, 20)
    read_again, write_again = os.pipe()
    os.write(write_again, short)
    os.close(write_again)
    with pytest.raises(BrokenPipeError):
        read_filter(read_again)
    for fd in (read, read_again):
        os.close(fd)


BEGUN = """
import os, sys
from capadvise.linux.kernel import odd_start
from capadvise.linux.supervise import guardian
for fd in map(int, sys.argv[1:]):
    os.close(fd)
odd_start.fill_streams()
(control, ours), (report, said) = os.pipe(), os.pipe()
kept, ours_alone = os.open("/dev/zero", 0), os.open("/dev/zero", 0)
os.set_inheritable(targets := os.open("/dev/zero", 0), True)
guardian.json_lines.LineReader.wait = lambda _: print(*os.listdir("/proc/self/fd"), flush=True)
pid = guardian.begin(control, said, [kept])
os.close(said)
assert os.read(report, 1) == b""
assert os.waitpid(pid, 0)[1] == 0
print(0, 1, 2, control, said, kept, targets)
"""


@pytest.mark.parametrize("closed", [(), ("0", "2")])
def test_a_guardian_whose_supervisor_is_gone_before_it_said_what_to_do(
    closed: tuple[str, ...],
) -> None:
    """It ends, and has held nothing but what is its own or the target's; of streams that were
    ``closed``, what stands in their place."""
    words = [sys.executable, "-c", BEGUN, *closed]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    held, its_own = (set(line.split()) for line in done.stdout.splitlines())
    assert len(held - its_own) == 1  # the list's own
    assert its_own <= held


def test_a_target_s_process_that_ends_before_it_is_ready_has_failed() -> None:
    (silent, closed), (heard, report) = os.pipe(), os.pipe()
    os.close(closed)
    plan = {"cgroup": None}
    its = guardian.Guardian(plan, json_lines.LineReader(silent), report, silent)
    assert its.has_executed(silent)
    assert not its.is_well(silent)
    assert "has ended" in json.loads(os.read(heard, 4096))["step"]
    for fd in (silent, heard, report):
        os.close(fd)


def test_the_two_licences_never_meet() -> None:
    script = "import capadvise.cli, capadvise.commands.run, capadvise.linux.supervise.record"
    for module, libraries in (("supervise.launcher", set()), ("retry.tracer", {"ptrace"})):
        modules = loaded(f"{script}, capadvise.linux.{module}")
        assert modules & {"prctl", "ptrace"} == libraries
