"""What the tracer of EPERM retries tells becomes a recording; and what is decided on it."""

from __future__ import annotations

import json
import os
import select
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from capadvise.catalog import default
from capadvise.judgement.decide import Proof, Verdict, decide
from capadvise.judgement.refusals import refusals
from capadvise.kernel import json_lines
from capadvise.model.caps import Cap, from_mask, parse_set
from capadvise.model.recording import Check, DeniedCheck, Namespace, RefusedBy, RefusedCall, Retried
from capadvise.observe.retry.client import Listener
from capadvise.observe.retry.tree import EvidenceLog
from tests.support.recordings import HOST, recording
from tests.support.recordings import check as checked

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
        (check(12, Retried.SHOWN, "ioctl"), Verdict.NEEDED, Proof.RETRY, {12}),
        # the preference list: DAC_OVERRIDE would do, and is in every runtime's default
        (check(2, Retried.SHOWN), Verdict.INCIDENTAL, Proof.RETRY, {1}),
        (check(2, Retried.SHOWN, "open_by_handle_at"), Verdict.NEEDED, Proof.RETRY, {2}),
        (check(2, Retried.SHOWN, result=-2), Verdict.INCIDENTAL, Proof.NONE, set()),
        (check(1, Retried.PROBE), Verdict.INCIDENTAL, Proof.NONE, set()),
        (check(12, Retried.ASKED, "sendmsg"), Verdict.NEEDED, Proof.CALL_SITE, {12}),
        (check(10, Retried.REFUSED, "bind", result=-13), Verdict.NEEDED, Proof.NONE, {10}),
    ],
)
def test_verdicts_of_retried_calls(
    seen: Check, verdict: Verdict, proof: Proof, recommended: set[int]
) -> None:
    proposal = decide(replace(RECORDING, checks=(seen,)), default())
    need = proposal.need(seen.cap)
    assert (need.verdict, need.proof) == (verdict, proof)
    assert proposal.recommended == recommended
    answered = seen.retried is Retried.PROBE or seen.result == -2  # EACCES may not be
    uncertain = answered or seen.retried is Retried.REFUSED
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
    evidence.send({"pid": 5})
    evidence.send({"started": 100.0})
    facts = {"errno": "EPERM", "result": 0, "together": [], "pid": 7, "uid": 0, "changes": True}
    for detail in ("a", "a", *(f"file {number}" for number in range(30))):
        evidence.note("shown", 0, "chown", "fchownat", detail, **facts)
    evidence.ran_raised("chown", "fchownat")
    evidence.send_once(looked="capsh")
    evidence.send_once(own_set=["capsh", 1])
    evidence.send_once(own_set=["bird", 3])
    evidence.send_once(traces="gdb")
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
    assert "more than capadvise keeps" in listener.merged(RECORDING).cautions[0]
