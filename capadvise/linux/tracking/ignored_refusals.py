"""Which programs go on where a call of theirs is refused: their machine code tells, once they have
ended, of the few whose answer can matter."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress

from capadvise.linux.kernel import elf, goes_on, linked
from capadvise.linux.tracking.distinct_checks import DistinctChecks
from capadvise.linux.tracking.tasks import Scope

_OPEN, _MOST = 32, 4096
"""So many program files are kept open until then, and so many programs are distinguished."""


class IgnoredRefusals:
    """Of the programs that were executed."""

    def __init__(self) -> None:
        self._files: dict[tuple[int, ...], int | None] = {}
        """Descriptor (O_PATH) of each that may tell, by what identifies it; None: it does not."""
        self._programs: dict[tuple[Scope, str], set[tuple[int, ...]]] = {}

    def executed(self, handle: int, program: str, scope: Scope, roots: Iterable[str]) -> None:
        """A program was executed; ``roots``: its root folder, as it or others of the target have
        it: it may have left that meanwhile, as daemons do."""
        status = os.fstat(handle)
        place = status.st_dev, status.st_ino, status.st_mtime_ns
        if place not in self._files and len(self._files) < _MOST:
            self._files[place] = self._opened(handle, roots)
        if len(self._programs) < _MOST:
            self._programs.setdefault((scope, program), set()).add(place)

    def _opened(self, handle: int, roots: Iterable[str]) -> int | None:
        calls = elf.imported(handle, _calls())
        kept = sum(file is not None for file in self._files.values())
        if not calls or kept >= _OPEN:
            return None
        for root in roots:
            with suppress(OSError):
                if all(linked.alone_calls(handle, root, call) for call in calls):
                    return os.dup(handle)
        return None

    def finish(self, counts: DistinctChecks) -> None:
        """Nothing more will come: look at the programs that were allowed such a call."""
        for (scope, program), places in self._programs.items():
            for call in _calls() & counts.allowed_calls(scope, program):
                if all(_goes_on(self._files.get(place), call) for place in places):
                    scope.ignored_refusals.add((program, call))
        for file in self._files.values():
            if file is not None:
                os.close(file)
        self._files, self._programs = {}, {}


def _goes_on(file: int | None, call: str) -> bool:
    if file is None or (code := elf.program(file)) is None:
        return False
    return goes_on.goes_on(code, code.returns_of(call))


def _calls() -> frozenset[str]:
    """The catalog is read while the target runs: not before its start."""
    from capadvise.catalog import default

    return default().signs.ignorable
