"""The difference of two texts in the format of ``diff -u``, with the fewest changed lines.

``difflib`` looks for the longest run that is the same anywhere: in a file of many similar documents
it shows changes where there are none, or takes minutes. Myers' algorithm (An O(ND) Difference
Algorithm) finds the lines that stay, and difflib groups them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import Match, SequenceMatcher

CONTEXT = 3
MAX_CHANGES = 400
"""Above this many differing lines, the search would take too long."""
Run = tuple[int, int, int]
"""(start in old, start in new, length) of lines that stay."""


def unified(old: Sequence[str], new: Sequence[str], names: tuple[str, str]) -> Iterator[str]:
    """Yield the lines, headings first; none if nothing differs. Each line keeps its end."""
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
    """``1,3`` in ``@@ -1,3 +1,4 @@``."""
    length = stop - start
    if length == 1:
        return str(start + 1)
    return f"{start + (length > 0)},{length}"


class _Least(SequenceMatcher[str]):
    """A matcher that finds the fewest changes; difflib groups them."""

    def __init__(self, old: Sequence[str], new: Sequence[str]) -> None:
        super().__init__(None, "", "")
        self.old, self.new = old, new

    def get_matching_blocks(self) -> list[Match]:
        old, new = self.old, self.new
        shorter = min(len(old), len(new))
        head = next((n for n in range(shorter) if old[n] != new[n]), shorter)
        rest = shorter - head
        tail = next((n for n in range(rest) if old[-1 - n] != new[-1 - n]), rest)
        inner = _runs(old[head : len(old) - tail], new[head : len(new) - tail])
        runs = [(0, 0, head), *((a + head, c + head, size) for a, c, size in inner)]
        runs.append((len(old) - tail, len(new) - tail, tail))
        return [*(Match(*run) for run in runs if run[2]), Match(len(old), len(new), 0)]


def _runs(old: Sequence[str], new: Sequence[str]) -> list[Run]:
    """The runs that stay, with the fewest changes between; none if there are too many changes."""
    reached: dict[int, tuple[int, tuple[Run, ...]]] = {1: (0, ())}
    """Diagonal (place in old less place in new) → the farthest place in old, and its runs."""
    for changes in range(min(len(old) + len(new), MAX_CHANGES) + 1):
        for diagonal in range(-changes, changes + 1, 2):
            less, more = reached.get(diagonal - 1), reached.get(diagonal + 1)
            if less is None or (more is not None and less[0] < more[0]):
                start, way = more or (0, ())
            else:
                start, way = less[0] + 1, less[1]
            x = start
            while x < len(old) and x - diagonal < len(new) and old[x] == new[x - diagonal]:
                x += 1
            way = (*way, (start, start - diagonal, x - start)) if x > start else way
            reached[diagonal] = x, way
            if x >= len(old) and x - diagonal >= len(new):
                return list(way)
    return []
