"""The index of the programs with proven sets, as ``python -m tests.proven.run`` writes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from capadvise.catalog.known import KnownProgram
from capadvise.model.caps import names
from capadvise.model.errors import BadInput

KINDS = ("programs", "commands", "images", "units")


def index(programs: Iterable[KnownProgram]) -> dict[str, dict[str, Any]]:
    """All names, by kind, each with its program, and the sets of each. Raises BadInput if one name
    stands for two."""
    program_of: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    sets = {}
    for program in programs:
        named = {
            "programs": (program.name, program.package),
            "commands": program.commands,
            "images": (*program.images, *program.images_of_users),
            "units": program.units,
        }
        for kind, words in named.items():
            for word in words:
                if program_of[kind].setdefault(word, program.name) != program.name:
                    other = program_of[kind][word]
                    raise BadInput(f"{word}: it stands for both {other} and {program.name}")
        sets[program.name] = {
            "version": program.version,
            "variants": [
                {
                    "name": one.name,
                    "user": one.user,
                    "recommended": names(one.recommended),
                    "minimal": names(one.minimal),
                }
                for one in program.variants
            ],
        }
    return {kind: dict(sorted(words.items())) for kind, words in program_of.items()} | {
        "sets": sets
    }
