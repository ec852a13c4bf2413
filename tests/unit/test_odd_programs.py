"""The table of odd programs and the sets that trials have found for them."""

from __future__ import annotations

from collections import Counter

from capadvise.model.caps import NAMES
from tests.support.odd_programs import PROGRAMS
from tests.support.odd_trials import Known


def test_each_program_has_its_own_name() -> None:
    counts = Counter(program.name for program in PROGRAMS)
    assert [name for name, times in counts.items() if times > 1] == []


def test_the_set_of_each_program_was_found() -> None:
    """A program that fails with everything, or that nobody has tried, measures nothing."""
    assert {program.name for program in PROGRAMS} == set(Known.load().minimal)


def test_sets_name_capabilities() -> None:
    known = Known.load()
    sets = [*known.minimal.values(), *(s.split() for x in known.judged.values() for s in x)]
    assert {cap for caps in sets for cap in caps} <= set(NAMES)


def test_a_set_that_was_judged_is_not_the_minimal_one() -> None:
    """It would be right without a trial."""
    known = Known.load()
    assert [
        name for name, sets in known.judged.items() if " ".join(known.minimal[name]) in sets
    ] == []
