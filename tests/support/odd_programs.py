"""Odd and hostile commands, each of which tells by its exit status whether it did its job.

An advisor that reads the kernel's checks is misled most easily by these: calls that are refused in
silence, refusals that decide though nothing fails, answers that are read and not used, work that is
done where nobody looks. ``tests.support.odd_trials`` finds the capabilities that they need.

Each is harmless: it changes its own folder, its own namespaces and processes that its setup made.
``$W`` is its folder and working directory, ``$N`` a word that no other process is named after.
"""

from __future__ import annotations

from tests.support import odd_answers, odd_habits  # each adds its own
from tests.support.odd_program import PROGRAMS, OddProgram

__all__ = ["PROGRAMS", "OddProgram", "odd_answers", "odd_habits"]
