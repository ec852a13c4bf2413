"""Refusals find their questions: per thread, nested, late, or not at all."""

from __future__ import annotations

import errno

import pytest

from capadvise.observe.ftrace.check_events import Answered, Asked, Pairing

HIGH, LOW = 0xF00, 0x800
"""Stack pointers: the stack grows downwards, so that what is nested lies lower."""
NO = -errno.EPERM


def asked(time: int, cap: int, pointer: int = HIGH, pid: int = 7) -> Asked:
    return Asked(time, pid, 1, cap, 0, None, pointer, b"")


def told(events: list[Asked | tuple[int, int, int]], pairing: Pairing | None = None) -> list[str]:
    """What comes out of questions, and of refusals (time, pid, stack pointer), in this order."""
    pairing = pairing or Pairing()
    found: list[Answered] = []
    for event in events:
        if isinstance(event, Asked):
            found += pairing.ask(event)
        else:
            found += pairing.refuse(*event, NO)
    found += pairing.settle_all()
    return [f"{item.cap}{'+' if answer == 0 else '-'}" for item, answer, count in found if count]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([asked(1, 5)], ["5+"]),
        ([asked(1, 5), (2, 7, HIGH)], ["5-"]),
        ([asked(1, 5), asked(2, 6), (3, 7, HIGH)], ["5+", "6-"]),
        ([asked(1, 5), (2, 7, HIGH), asked(3, 6)], ["5-", "6+"]),
        # asked again in an interrupt, before the first has its answer
        ([asked(1, 5), asked(2, 6, LOW), (3, 7, LOW), (4, 7, HIGH)], ["6-", "5-"]),
        ([asked(1, 5), asked(2, 6, LOW), (4, 7, HIGH)], ["5-", "6+"]),
        ([asked(1, 5), asked(2, 6, LOW), (3, 7, LOW)], ["6-", "5+"]),
        # two threads
        ([asked(1, 5), asked(2, 6, pid=8), (3, 7, HIGH)], ["5-", "6+"]),
        ([asked(1, 5), asked(2, 6, pid=8), (3, 8, HIGH)], ["6-", "5+"]),
    ],
)
def test_a_refusal_belongs_to_the_question_at_its_stack_pointer(
    events: list[Asked | tuple[int, int, int]], expected: list[str]
) -> None:
    assert told(events) == expected


def test_a_refusal_that_is_read_first_waits_for_its_question() -> None:
    pairing = Pairing()
    assert told([(2, 7, HIGH)], pairing) == []
    pairing.end_of_round()
    assert told([asked(1, 5)], pairing) == ["5-"]
    pairing.end_of_round()
    pairing.end_of_round()
    assert pairing.unmatched == 0


def test_a_later_question_does_not_take_an_earlier_refusal() -> None:
    pairing = Pairing()
    assert told([(2, 7, HIGH), asked(3, 5)], pairing) == ["5+"]
    for _ in range(3):
        pairing.end_of_round()
    assert pairing.unmatched == 1


@pytest.mark.parametrize(
    ("refusals", "expected"),
    [(0, [(0, 5)]), (3, [(NO, 3), (0, 2)]), (4, [(NO, 5)]), (5, [(NO, 5)])],
)
def test_equal_questions_are_answered_together(
    refusals: int, expected: list[tuple[int, int]]
) -> None:
    pairing = Pairing()
    for time in range(refusals):
        assert list(pairing.refuse(time, 7, HIGH, NO)) == []
    found = [(answer, count) for _, answer, count in pairing.many(asked(0, 21), 5)]
    assert found == expected


def test_what_bears_its_answer_needs_no_other_event() -> None:
    question = Asked(1, 7, 1, 5, None, NO, 0, b"")
    pairing = Pairing()
    assert list(pairing.ask(question)) == [(question, NO, 1)]
    assert list(pairing.many(question, 9)) == [(question, NO, 9)]
    assert pairing.settle_all() == []
