"""Arguments as the observer has them: a few, by name, and no memory."""

from __future__ import annotations

import pytest

from capadvise.kernel.syscalls import SIGNATURES, detail, in_words, recorded


@pytest.mark.parametrize(
    ("call", "args", "said"),
    [
        ("fchmodat", {"mode": 0o2755}, "mode 2755"),
        ("kill", {"pid": 812, "signal": 15}, "SIGTERM"),
        (
            "setresuid",
            {"ruid": 33, "euid": 33, "suid": 0xFFFFFFFF, "changes": 1},
            "ruid 33, euid 33",
        ),
        ("chown", {"uid": 0xFFFFFFFF, "gid": 0xFFFFFFFF}, None),
        ("socket", {"family": 17, "type": 0o4003, "protocol": 0}, "AF_PACKET, SOCK_RAW"),
        ("socket", {"family": 99, "type": 9}, "family 99, type 9"),
        ("ioctl", {"cmd": 0x8914}, "SIOCSIFFLAGS"),
        ("ioctl", {"cmd": 0xFFFFFFFFC0DE0001}, "request 0xc0de0001"),
        ("prctl", {"option": 24, "arg2": 7}, "PR_CAPBSET_DROP"),
        ("prctl", {"option": 99, "arg2": 7}, "option 99"),
        ("setpriority", {"which": 0, "who": 812, "prio": -5}, "priority -5"),
        ("unshare", {"flags": 0x20000 | 0x40000000}, "CLONE_NEWNS|CLONE_NEWNET"),
        ("setns", {"flags": 0x20000}, "CLONE_NEWNS"),
        ("setns", {"flags": 0}, None),
        ("prlimit64", {"pid": 0, "resource": 7}, "itself, RLIMIT_NOFILE"),
        ("capget", {"data": 0x7FFC0000}, None),
        ("no such call", {"mode": 1}, None),
    ],
)
def test_recorded_arguments_in_words(call: str, args: dict[str, int], said: str | None) -> None:
    assert detail(call, args) == said


def test_no_call_has_more_than_six_arguments_and_each_name_stands_for_one() -> None:
    for call, words in SIGNATURES.items():
        assert len(words.split()) <= 6, call
    assert recorded()["tgkill"] == {"pid": 1, "signal": 2}
    assert "stat" not in recorded()


def test_each_kind_is_told_by_somebody() -> None:
    """A kind that is misspelt would tell nothing, for ever."""
    followed = {"-", "path", "dirfd", "fd", "name", "address"}  # by those who have the memory
    kinds = {word.rpartition(":")[2] for words in SIGNATURES.values() for word in words.split()}
    silent = {kind for kind in kinds - followed if not in_words("x", kind, 0x20001)}
    assert not silent
