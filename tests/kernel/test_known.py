"""Two known programs, drawn by the commit, are proven again: their minimal sets are the same.

What is recommended besides follows from what a trial printed, and a busy machine prints more.
"""

from __future__ import annotations

import random
import subprocess
from typing import Any

from capadvise.catalog import default
from tests.bench.user_namespaces import installed
from tests.proven.run import ROOT, differences, made_again, packages, programs, ways

DRAWN = 2
LONGEST = 20
"""Seconds that a start may take: no job of a cron, no large database."""


def test_two_programs_are_proven_again() -> None:
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout
    every, there = programs(default().known.names()), installed()
    short = [
        name
        for name, program in every.items()
        if there.issuperset(packages({name: program})) and _is_short(program)
    ]
    assert len(short) >= DRAWN, "too few of their packages are installed: see tests/run"
    drawn = {name: every[name] for name in random.Random(commit).sample(sorted(short), DRAWN)}
    for made in made_again(drawn, jobs=1):
        assert isinstance(made, dict), made
        assert list(differences(made, ("minimal",))) == []


def _is_short(program: dict[str, Any]) -> bool:
    return all(way.raw.get("timeout", 10) <= LONGEST for way in ways(program))
