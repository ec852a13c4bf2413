"""Distinct checks: as many as the target can make, and no more memory than that; and which user
namespace each is about."""

from __future__ import annotations

import pytest

from capadvise.kernel import user_namespaces
from capadvise.model.recording import Namespace, Phase
from capadvise.observe.ftrace.kallsyms import Symbols
from capadvise.observe.tracking import distinct_checks
from capadvise.observe.tracking.tasks import Key, Scope

KEY = Key(7, 0, 1, None, b"", "a", 0, Phase.RUN, (), 0)
INITIAL, MADE = 1, 2
NOBODY = 65534


def test_beyond_a_bound_checks_are_thrown_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distinct_checks, "MOST", 10)
    kept = distinct_checks.DistinctChecks(Symbols(b"0000000000001000 T f\n"))
    for number in range(1000):
        key = KEY._replace(program=f"p{number}", uid=number)
        kept.add(key, None, number, number, 1)
        kept.settle(key, 0)
    checks = kept.checks(Scope(0, 1, 0))
    assert kept.limit_reached
    assert "limit of distinct checks" in kept.cautions[0]
    assert kept.distinct < 20
    assert sum(check.count for check in checks) == 1000
    assert {check.program for check in checks} == {"p0", "p1", "p2", "p3", "p4", "?"}


def about(namespace: int, uid: int, within: int = INITIAL) -> Key:
    return Key(21, 0, namespace, None, b"", "p", uid, Phase.RUN, (), 0, within)


@pytest.mark.parametrize(
    ("key", "makers", "inside", "owners", "found"),
    [
        (about(INITIAL, 0, within=0), [], [], [], Namespace.TARGET),
        (about(MADE, 0, within=0), [], [], [NOBODY], Namespace.CHILD),
        (about(MADE, 0), [0], [], [NOBODY], Namespace.CHILD),
        (about(MADE, 0), [NOBODY], [MADE], [], Namespace.OTHER),
        (about(MADE, 0), [], [MADE], [], Namespace.CHILD),
        (about(MADE, 0), [], [], [0], Namespace.CHILD),
        (about(MADE, 0), [], [], [NOBODY], Namespace.OTHER),
        (about(MADE, 0), [], [], [0, NOBODY], Namespace.OTHER),
        (about(MADE, NOBODY), [], [], [NOBODY], Namespace.CHILD),
    ],
    ids=["own", "from-inside", "made", "made-by-another-user", "made-unseen", "its-user-s",
         "another-s", "one-of-several", "the-other-user"],
)  # fmt: skip
def test_a_namespace_obeys_who_made_it(
    key: Key,
    makers: list[int],
    inside: list[int],
    owners: list[int],
    found: Namespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(user_namespaces, "owners", lambda: set(owners))
    kept = distinct_checks.DistinctChecks(Symbols(b""))
    kept.initial_namespace = INITIAL
    for pointer in inside:
        kept.note_namespace(INITIAL, pointer, b"")
    scope = Scope(0, 1, 0, makers=set(makers))
    kept.add(key, None, 7, 0, 1)
    (check,) = kept.checks(scope)
    assert check.ns is found


def test_what_is_denied_to_a_process_in_a_namespace_below_counts_nowhere_in_it() -> None:
    """Granted to the target, it would be denied again: it was said to be needed where the target
    lacked it, and to have been given up where it did not."""
    kept = distinct_checks.DistinctChecks(Symbols(b""))
    kept.initial_namespace = INITIAL
    kept.add(about(INITIAL, 0, within=0)._replace(ret=-1, nested=True), None, 7, 0, 1)
    (check,) = kept.checks(Scope(0, 1, 0))
    assert check.ns is Namespace.HOST


def test_a_fork_asks_a_user_namespace_that_it_has_just_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """clone3(2), whose flags are not recorded, of a child that makes no check and is gone."""
    monkeypatch.setattr(user_namespaces, "owners", set)
    kept = distinct_checks.DistinctChecks(Symbols(b"0000000000001000 T copy_namespaces\n"))
    kept.initial_namespace = INITIAL
    kept.add(about(MADE, 0)._replace(stack=(0x1010).to_bytes(8, "little")), None, 7, 0, 1)
    (check,) = kept.checks(Scope(0, 1, 0))
    assert (check.site, check.ns) == (("copy_namespaces",), Namespace.CHILD)


@pytest.mark.parametrize(
    ("makers", "made", "owners", "found", "unclear"),
    [
        ({0}, 1, {0}, Namespace.CHILD, False),
        (set(), 0, {NOBODY}, Namespace.OTHER, True),
        (set(), 0, {0}, Namespace.CHILD, True),
        ({NOBODY}, 1, {NOBODY}, Namespace.CHILD, False),
        ({NOBODY}, 0, {NOBODY}, Namespace.CHILD, True),
    ],
    ids=["made", "another-s", "its-user-s", "made-by-another-user", "more-than-made"],
)
def test_where_no_check_tells_where_its_task_was_doubts_are_said(
    makers: set[int],
    made: int,
    owners: set[int],
    found: Namespace,
    unclear: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(user_namespaces, "owners", lambda: owners)
    kept = distinct_checks.DistinctChecks(Symbols(b""), tells_within=False)
    kept.initial_namespace = INITIAL
    kept.add(about(MADE, 0, within=0), None, 7, 0, 1)
    (check,) = kept.checks(Scope(0, 1, 0, makers=makers, made=made))
    assert check.ns is found
    assert bool(kept.cautions) is unclear
