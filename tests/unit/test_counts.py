"""Distinct checks: as many as the target can make, and no more memory than that."""

from __future__ import annotations

import pytest

from capadvise.linux import counts
from capadvise.linux.symbols import Symbols
from capadvise.linux.tasks import Key, Scope
from capadvise.recording import Phase

KEY = Key(7, 0, 1, None, b"", "a", 0, Phase.RUN, (), 0)


def test_beyond_a_bound_checks_are_thrown_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "MOST", 10)
    kept = counts.Counts(Symbols(b"0000000000001000 T f\n"))
    for number in range(1000):
        key = KEY._replace(program=f"p{number}", uid=number)
        kept.add(key, None, number, number, 1)
        kept.settle(key, 0)
    checks = kept.checks(Scope(0, 1, 0))
    assert kept.crowded
    assert kept.distinct < 20
    assert sum(check.count for check in checks) == 1000
    assert {check.program for check in checks} == {"p0", "p1", "p2", "p3", "p4", "?"}
