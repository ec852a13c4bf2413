"""The difference of two texts as ``diff -u`` writes it, in as few lines as the change has.

``difflib`` alone looks for the longest run that is the same anywhere: in a file of many similar
documents it shows changes where there are none. What is the same before the first difference and
after the last is left out first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

CONTEXT = 3
Opcode = tuple[str, int, int, int, int]


def unified(old: Sequence[str], new: Sequence[str], names: tuple[str, str]) -> Iterator[str]:
    """The lines, headings first; none where nothing differs. Each line keeps its end."""
    headings = [f"--- {names[0]}\n", f"+++ {names[1]}\n"]
    for hunk in _Trimmed(old, new).get_grouped_opcodes(CONTEXT):
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


class _Trimmed(SequenceMatcher[str]):
    """Compares only what lies between the first difference and the last."""

    def __init__(self, old: Sequence[str], new: Sequence[str]) -> None:
        super().__init__(None, old, new, autojunk=False)
        self.old, self.new = old, new

    def get_opcodes(self) -> list[Opcode]:  # type: ignore[override]
        old, new = self.old, self.new
        shorter = min(len(old), len(new))
        head = next((n for n in range(shorter) if old[n] != new[n]), shorter)
        rest = shorter - head
        tail = next((n for n in range(rest) if old[-1 - n] != new[-1 - n]), rest)
        inner = SequenceMatcher(
            None, old[head : len(old) - tail], new[head : len(new) - tail], autojunk=False
        )
        opcodes: list[Opcode] = [("equal", 0, head, 0, head)] if head else []
        opcodes += [
            (kind, a + head, b + head, c + head, d + head)
            for kind, a, b, c, d in inner.get_opcodes()
        ]
        if tail:
            ends = (len(old) - tail, len(old), len(new) - tail, len(new))
            opcodes.append(("equal", *ends))
        return opcodes
