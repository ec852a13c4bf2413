"""The difference of two texts as ``diff -u`` writes it, in the fewest lines there are.

``difflib`` looks for the longest run that is the same anywhere: in a file of many similar documents
it shows changes where there are none. This is Myers' algorithm (An O(ND) Difference Algorithm).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

CONTEXT = 3
MAX_CHANGES = 400
"""Of more lines that differ, the fewest would take too long to find."""
Opcode = tuple[str, int, int, int, int]
Run = tuple[int, int, int]
"""(start in old, start in new, length) of lines that stay."""
_KINDS = {(True, True): "replace", (True, False): "delete", (False, True): "insert"}


def unified(old: Sequence[str], new: Sequence[str], names: tuple[str, str]) -> Iterator[str]:
    """The lines, headings first; none where nothing differs. Each line keeps its end."""
    headings = [f"--- {names[0]}\n", f"+++ {names[1]}\n"]
    for hunk in _Least(old, new).get_grouped_opcodes(CONTEXT):
        yield from headings
        headings = []
        first, last = hunk[0], hunk[-1]
        yield f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@\n"
        for kind, a, b, c, d in hunk:
            if kind == "equal":
                yield from (f" {line}" for line in old[a:b])
                continue
            yield from (f"-{line}" for line in old[a:b])
            yield from (f"+{line}" for line in new[c:d])


def _range(start: int, stop: int) -> str:
    """As in ``@@ -1,3 +1,4 @@``."""
    length = stop - start
    if length == 1:
        return str(start + 1)
    return f"{start + (length > 0)},{length}"


class _Least(SequenceMatcher[str]):
    """Groups the fewest changes."""

    def __init__(self, old: Sequence[str], new: Sequence[str]) -> None:
        super().__init__(None, "", "")
        self.old, self.new = old, new

    def get_opcodes(self) -> list[Opcode]:  # type: ignore[override]
        old, new = self.old, self.new
        shorter = min(len(old), len(new))
        head = next((n for n in range(shorter) if old[n] != new[n]), shorter)
        rest = shorter - head
        tail = next((n for n in range(rest) if old[-1 - n] != new[-1 - n]), rest)
        inner = _runs(old[head : len(old) - tail], new[head : len(new) - tail])
        runs = [(0, 0, head), *((a + head, c + head, size) for a, c, size in inner)]
        return list(_opcodes([*runs, (len(old) - tail, len(new) - tail, tail)]))


def _opcodes(runs: Sequence[Run]) -> Iterator[Opcode]:
    """As difflib has them. The last run is the end of both."""
    start_old = start_new = 0
    for old, new, size in runs:
        if (start_old, start_new) != (old, new):
            kind = _KINDS[start_old < old, start_new < new]
            yield kind, start_old, old, start_new, new
        if size:
            yield "equal", old, old + size, new, new + size
        start_old, start_new = old + size, new + size


def _runs(old: Sequence[str], new: Sequence[str]) -> list[Run]:
    """What stays, with the fewest changes between; nothing, where too many would be needed."""
    reached = {1: 0}
    """Diagonal (place in old less place in new) → the farthest place in old."""
    history: list[dict[int, int]] = []
    for changes in range(min(len(old) + len(new), MAX_CHANGES) + 1):
        history.append(dict(reached))
        for diagonal in range(-changes, changes + 1, 2):
            x = _step(reached, diagonal, changes)[0]
            y = x - diagonal
            while x < len(old) and y < len(new) and old[x] == new[y]:
                x, y = x + 1, y + 1
            reached[diagonal] = x
            if x >= len(old) and y >= len(new):
                return _way_back(history, len(old), len(new))
    return []


def _step(reached: dict[int, int], diagonal: int, changes: int) -> tuple[int, int]:
    """(place in old, diagonal before) of one more change, from the neighbour that is farther."""
    added = diagonal == -changes or (
        diagonal != changes and reached[diagonal - 1] < reached[diagonal + 1]
    )
    if added:
        return reached[diagonal + 1], diagonal + 1
    return reached[diagonal - 1] + 1, diagonal - 1


def _way_back(history: Sequence[dict[int, int]], x: int, y: int) -> list[Run]:
    """The runs along the way that led there."""
    runs: list[Run] = []
    for changes in range(len(history) - 1, -1, -1):
        diagonal = x - y
        start, before = _step(history[changes], diagonal, changes)
        if x > start:
            runs.append((start, start - diagonal, x - start))
        x = history[changes][before]
        y = x - before
    return runs[::-1]
