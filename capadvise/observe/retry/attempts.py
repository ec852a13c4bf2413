"""What is tried after a refusal, in which order. Pure: capabilities are bits of a mask.

A call that fails leaves nothing behind, so that any number of tries may fail; the first that
succeeds is the last. Smaller sets therefore come first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

_PAIRS_OF = 5
"""Pairs are tried of so many candidates at most: of more, ten tries would become hundreds."""


def bit(cap: int) -> int:
    """The mask of one capability."""
    return 1 << cap


def members(mask: int) -> tuple[int, ...]:
    """The capabilities of a mask."""
    return tuple(number for number in range(mask.bit_length()) if mask >> number & 1)


class Attempts:
    """The tries after one refusal of one call.

    ``base`` is raised already; ``limit`` is what the program itself holds effective: more it could
    not have. The last try is with all of it: its answer is the one that the program gets.
    """

    def __init__(
        self, error: int, candidates: Sequence[int], base: int, limit: int, *, capture: bool = False
    ) -> None:
        self.error, self.base, self.limit = error, base, limit
        self.candidates = tuple(c for c in candidates if limit >> c & 1 and not base >> c & 1)
        self.current = base
        self.exact = False
        """Whether the current try tells which capability it was."""
        self.changes = True
        """Whether the call would change something."""
        self._capture = capture
        self._order = iter(()) if base == limit else self._masks()

    def _masks(self) -> Iterator[int]:
        self.exact = True
        if not self._capture:
            for size in (1, 2) if len(self.candidates) <= _PAIRS_OF else (1,):
                for chosen in combinations(self.candidates, size):
                    yield self.base | sum(map(bit, chosen))
            if self.current == self.limit:
                return
            self.exact = False
        yield self.limit

    def next(self) -> int | None:
        """What to raise for the next try; None when the refusal stands."""
        mask = next(self._order, None)
        if mask is not None:
            self.current = mask
        return mask

    @property
    def shown(self) -> tuple[int, ...]:
        """What the current try shows to be needed, if it made the difference."""
        if self._capture and self.current == self.limit:
            return self.candidates  # nothing else can have been it: the error names no other
        return members(self.current & ~self.base)


def order(
    table: Sequence[int], denied: Sequence[int] | None, last: int, *, in_table: bool
) -> tuple[int, ...]:
    """The candidates for a refusal.

    ``denied``: what the kernel refused this thread in this call, in its order, or None where
    nobody listened. ``last`` (SYS_ADMIN) is not listened for, since it comes in floods: it is
    taken from the table, at the end.
    """
    if denied is None:
        return tuple(table)
    asked = tuple(dict.fromkeys(cap for cap in denied if cap != last))
    return (*asked, last) if last in table or not in_table else asked
