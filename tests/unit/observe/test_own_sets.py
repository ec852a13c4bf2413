"""Programs that look at their own capabilities, and those that look for one process among all."""

from __future__ import annotations

import pytest

from capadvise.model.caps import Cap, CapSet
from capadvise.observe.tracking.tasks import AMBIENT, LOOKED, STATE, WHOLE_SETS, Scope

LAST = 40
LIBCAP = {32, 48, 40, 44, 42, 41}
"""What its constructor asks for on Linux 6.18, as strace shows it."""


@pytest.mark.parametrize(
    ("asked", "readers"),
    [
        ({25}, {25}),
        ({WHOLE_SETS}, set()),
        ({WHOLE_SETS, 25}, set()),
        (set(range(LAST + 1)), set()),
        (LIBCAP, None),
        (LIBCAP | {25}, {25}),
        ({0}, {0}),
        ({0, AMBIENT}, None),
        (LIBCAP | {0, AMBIENT}, None),
    ],
)
def test_what_a_library_asks_at_its_start_is_no_question(
    asked: set[int], readers: set[int] | None
) -> None:
    scope = Scope(1, 7, started=0, own_set_reads={"ask": asked})
    expected: tuple[tuple[str, CapSet], ...] = ()
    if readers is not None:
        expected = (("ask", frozenset(map(Cap, readers))),)
    assert scope.own_set_readers(LAST) == expected


def test_who_changes_its_sets_reads_them_for_that_and_ps_comes_by_itself() -> None:
    reads = {"setpriv": {WHOLE_SETS}, "ps": {WHOLE_SETS}, "grep": {WHOLE_SETS}}
    scope = Scope(1, 7, started=0, own_set_reads=reads, set_changers={"setpriv"})
    scope.proc_scanners = {"ps"}
    assert [program for program, _ in scope.own_set_readers(LAST)] == ["grep"]


@pytest.mark.parametrize(
    ("looks", "seeks"),
    [((1,), True), ((1, 2), True), ((), False), ((1, 2, 3), False), ((1, 2, 3, 4), False)],
)
@pytest.mark.parametrize("how", [LOOKED, STATE])
def test_a_look_into_few_of_many_processes_seeks_these(
    how: int, looks: tuple[int, ...], seeks: bool
) -> None:
    scope = Scope(1, 7, started=0, passed={})
    for pid in (1, 2, 3, 4):
        scope.note_passed("python3", pid, 0)
        scope.note_passed("python3", pid, how if pid in looks else 0)
    assert scope.seekers(how) == (frozenset({"python3"}) if seeks else frozenset())
    assert scope.seekers(LOOKED + STATE - how) == frozenset()


def test_where_lookups_are_not_recorded_nobody_is_known_to_seek() -> None:
    scope = Scope(1, 7, started=0)
    scope.note_passed("python3", 1, LOOKED)
    assert scope.seekers(LOOKED) is None
