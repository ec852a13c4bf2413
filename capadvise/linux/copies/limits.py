"""Which calls are tried in copies. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

_FIRST = 32
_SAME = 3
"""So often the same call is tried, made by the same program in the same place: a loop."""
_PLACES = 24
"""So many places of one program are tried for one call."""
_MOST_TRIES = 400
"""In all."""
_MOST_KEYS = 4096


class TryLimits:
    """Of one run."""

    def __init__(self) -> None:
        self._asked: Counter[Hashable] = Counter()
        self._over: set[Hashable] = set()
        self._tries: Counter[Hashable] = Counter()
        self._places: Counter[Hashable] = Counter()
        self._left = _MOST_TRIES

    def is_looked_at(self, thread: int, call: str, pointer: int) -> bool:
        """Whether it is worth finding out where a call comes from, which takes a hundred times as
        long as to let it go on: of a loop, the first ones, and then a few. ``pointer``: to the
        instruction; what is executed later has others."""
        if len(self._asked) >= _MOST_KEYS:
            self._asked.clear()
        self._asked[thread, call, pointer] += 1
        asked = self._asked[thread, call, pointer]
        return asked <= _FIRST or asked % _FIRST == 0

    def settle(self, program: Hashable, call: str) -> None:
        """The program was seen to need a call, or cannot be tried: more tries change nothing."""
        self._over.add((program, call))

    def wants(self, program: Hashable, call: str, place: Hashable) -> bool | None:
        """Whether a call is to be tried. None: it is one that was tried often enough; False: it is
        to be told of that it is not."""
        key = (program, call, place)
        if (program, call) in self._over or self._tries[key] >= _SAME:
            return None
        new = not self._tries[key]
        full = self._places[program, call] >= _PLACES or len(self._tries) >= _MOST_KEYS
        if self._left <= 0 or (new and full):
            self.settle(program, call)
            return False
        self._places[program, call] += new
        self._tries[key] += 1
        self._left -= 1
        return True
