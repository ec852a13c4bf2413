"""Generated sentences of the judgement: for one, for several, for too many, and for duplicates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from capadvise.judgement.decide import cautions_of, decide_all
from capadvise.judgement.differences import Observed, compare, examples
from capadvise.model.caps import Cap
from capadvise.model.recording import Lost, Namespace
from tests.support.recordings import CATALOG, check, recording


@pytest.mark.parametrize(
    ("lost", "text"),
    [
        ([], ""),
        (["a is b"], "a is b"),
        (["a is b", "a is b"], "a is b"),
        (["a is b", "c is d"], "a is b; c is d"),
        (["a is b", "c is d", "e is f", "g is h"], "a is b; c is d; e is f; and 1 more"),
        (['new message: "A"'], 'new message: "A"'),
        (['new message: "A"', 'new message: "A"'], 'new message: "A"'),
        (['new message: "A"', 'new message: "B"'], 'new messages: "A", "B"'),
        (
            ["it exits with 1 instead of 0", 'new message: "A"', 'new message: "B"', "a is b"],
            'it exits with 1 instead of 0; new messages: "A", "B"; and 1 more',
        ),
    ],
)
def test_what_was_lost(lost: list[str], text: str) -> None:
    assert examples(lost) == text


def test_a_message_whose_random_part_differs_is_quoted_once() -> None:
    less = Observed(0, ("cannot open /tmp/x.aBcD", "cannot open /tmp/x.eFgH", "no"))
    assert compare(Observed(0), less) == [
        'new message: "cannot open /tmp/x.aBcD"',
        'new message: "no"',
    ]


@pytest.mark.parametrize(
    ("lost", "text"),
    [
        (Lost(gaps=("a", "b")), "the trace may have gaps (a, b): needs can be missing"),
        (Lost(signal=1), "1 event dropped: needs can be missing"),
        (Lost(signal=2), "2 events dropped: needs can be missing"),
        (Lost(sys_admin=1), "1 event of CAP_SYS_ADMIN dropped: its absence is unconfirmed"),
        (Lost(lookups=1), "1 lookup in /proc dropped: needs of CAP_SYS_PTRACE can be missing"),
        (Lost(lookups=2), "2 lookups in /proc dropped: needs of CAP_SYS_PTRACE can be missing"),
    ],
)
def test_dropped_events(lost: Lost, text: str) -> None:
    assert [*cautions_of([recording(lost=lost)])] == [text]


@pytest.mark.parametrize(
    ("calls", "begin"),
    [
        (["mount"], "mount failed and is checked against the host's user namespace: "),
        (["mount", "swapon"], "mount, swapon failed and are checked against the host's "),
    ],
)
def test_calls_that_the_host_refused(calls: list[str], begin: str) -> None:
    refused = [
        replace(check("SYS_ADMIN", "capable f", call), ns=Namespace.HOST, result=-1, granted=False)
        for call in calls
    ]
    (text,) = cautions_of([recording(*refused)])
    assert text.startswith(begin)


USES = [
    ("__inet_bind", "binding an IPv4 port"),
    ("__inet6_bind", "binding an IPv6 port"),
    ("vsock_bind", "binding a privileged port"),
    ("sctp_bind", "binding a privileged port"),
]


@pytest.mark.parametrize("number", [1, 2])
def test_the_uses_of_a_capability(number: int) -> None:
    """Fragments, which a table shows alone, and a sentence after what the program was doing."""
    checks = [check("NET_BIND_SERVICE", f"ns_capable {at}", "bind") for at, _ in USES[:number]]
    reason = decide_all((recording(*checks),), CATALOG).need(Cap.parse("NET_BIND_SERVICE")).reason
    parts = reason.split("; ")
    assert len(parts) == number
    assert all(part.startswith(use) for part, (_, use) in zip(parts, USES, strict=False))


@pytest.mark.parametrize(("number", "end"), [(4, "; and 1 more use"), (5, "; and 2 more uses")])
def test_more_uses_than_are_named(number: int, end: str) -> None:
    checks = [check("SYS_ADMIN", f"capable f{n}", f"call{n}") for n in range(number)]
    reason = decide_all((recording(*checks),), CATALOG).need(Cap.parse("SYS_ADMIN")).reason
    assert reason.endswith(end)
