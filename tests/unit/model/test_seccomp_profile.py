"""Seccomp profiles without open conditions, and the calls that are added to one."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest

from capadvise.model.clone_flags import (
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    NAMES,
)
from capadvise.model.errors import BadInput
from capadvise.model.seccomp_profile import OpenedCall, SeccompProfile

NAMESPACES = 0x7E020000
DOCKER: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 1,
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
    "syscalls": [
        {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
        {
            "names": ["clone"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": NAMESPACES, "op": "SCMP_CMP_MASKED_EQ"}],
        },
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        {"names": ["sethostname", "bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
    ],
}
"""As docker 26.1 resolves its default for a container without capabilities; shortened."""


def _profile(*added: str) -> SeccompProfile:
    return SeccompProfile.parse(DOCKER).opened(map(OpenedCall.parse, added))


def _passes(profile: SeccompProfile, call: str, first: int = 0) -> bool:
    """As libseccomp evaluates it, for the first argument."""
    each = ([json.loads(one) for one in way] for way in profile.allowed().get(call, ()))
    return any(
        all(
            one["op"] == "SCMP_CMP_MASKED_EQ" and first & one["value"] == one.get("valueTwo", 0)
            for one in way
        )
        for way in each
    )


def test_nothing_is_allowed_but_the_default_and_the_members() -> None:
    members = ("clone(NEWUSER|NEWPID)", "mount", "sethostname", "unshare(NEWUSER)")
    before, after = _profile(), _profile(*members)
    for call in {*before.allowed(), *after.allowed(), "clone3", "bpf", "umount2", "setns"}:
        if call in ("clone", "unshare"):
            continue
        added = call in ("mount", "sethostname")
        assert _passes(after, call) is (_passes(before, call) or added), call
    bits = list(NAMES)
    for chosen in product((0, 1), repeat=len(bits)):
        flags = sum(bit for bit, on in zip(bits, chosen, strict=True) if on)
        others = flags & ~(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWTIME)
        assert _passes(after, "clone", flags) is not bool(others)
        assert _passes(before, "clone", flags) is not bool(flags & NAMESPACES)
        assert _passes(after, "unshare", flags) is not bool(flags & ~CLONE_NEWUSER)
    assert not _passes(before, "unshare", CLONE_NEWUSER)


def test_a_refusing_rule_of_a_member_goes_and_the_others_stay() -> None:
    rules = _profile("sethostname").raw["syscalls"]
    refusing = [rule["names"] for rule in rules if rule["action"] == "SCMP_ACT_ERRNO"]
    assert refusing == [["clone3"], ["bpf"]]


def test_clone3_is_never_opened() -> None:
    """Its flags are in memory: whoever opens it opens every namespace."""
    with pytest.raises(BadInput):
        OpenedCall.parse("clone3")


@pytest.mark.parametrize(
    "words", ["", "a b", "mount(NEWNET", "clone(NEWER)", "clone(NEWUSER)x", "../x", "a" * 60]
)
def test_the_words_of_a_report_are_no_other_calls(words: str) -> None:
    with pytest.raises(BadInput):
        OpenedCall.parse(words)


def test_words_are_read_back() -> None:
    for one in (
        OpenedCall("mount"),
        OpenedCall("clone", CLONE_NEWUSER | CLONE_NEWNS),
        OpenedCall.whole("unshare"),
    ):
        assert OpenedCall.parse(str(one)) == one
    assert not OpenedCall.whole("clone").flags & CLONE_NEWTIME


def test_a_profile_is_read_back() -> None:
    profile = _profile("mount", "clone(NEWUSER)")
    assert SeccompProfile.parse(json.loads(profile.text())) == profile


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("defaultAction", "SCMP_ACT_LOG"),
        ("listenerPath", "/run/x"),
        ("syscalls", [{"names": ["read"], "action": "SCMP_ACT_NOTIFY"}]),
        ("syscalls", [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": {}}]),
        ("syscalls", [{"names": ["a b"], "action": "SCMP_ACT_ALLOW"}]),
        ("syscalls", [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": 7}]),
        ("syscalls", 5),
    ],
)
def test_a_profile_with_unknown_parts_is_refused(key: str, value: object) -> None:
    with pytest.raises(BadInput):
        SeccompProfile.parse({**DOCKER, key: value})


def test_a_call_is_refused_if_its_namespaces_are() -> None:
    profile = _profile()
    assert [profile.refuses(call) for call in ("read", "clone", "mount", "clone3")] == [
        False,
        True,
        True,
        True,
    ]
