"""The pure parts of EPERM retries: what is tried, and how arguments and files are said."""

from __future__ import annotations

import socket
import struct

import pytest

from capadvise.observe.retry import bookkeeping, decode, mode
from capadvise.observe.retry.arguments import of_family
from capadvise.observe.retry.thread import Attempts, after_uids, bit, is_pseudo, members, order

DAC_OVERRIDE, DAC_READ_SEARCH, SYS_ADMIN = 1, 2, 21
EVERYTHING = (1 << 41) - 1


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
        (bookkeeping.ROUTE, message(20), ("NET_ADMIN", "RTM_NEWADDR")),
        (bookkeeping.ROUTE, message(18), None),  # RTM_GETLINK
        (bookkeeping.ROUTE, message(18) + message(17), ("NET_ADMIN", "RTM_DELLINK")),
        (bookkeeping.NETFILTER, message(0x0A00), ("NET_ADMIN", "netfilter")),
        (bookkeeping.AUDIT, message(1112), ("AUDIT_WRITE", "audit message 1112")),
        (bookkeeping.AUDIT, message(1001), ("AUDIT_CONTROL", "audit message 1001")),
        (16, message(0x10), None),  # the generic family: the kernel's table is not ours
        (bookkeeping.ROUTE, b"\0" * 16, None),
        (bookkeeping.ROUTE, b"short", None),
    ],
)
def test_netlink_requests(protocol: int, sent: bytes, wanted: tuple[str, str] | None) -> None:
    assert bookkeeping.capability_wanted(protocol, sent) == wanted


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
    assert mode.subordinate(SUBUID, name, number) == found
