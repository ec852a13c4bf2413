"""What retries showed, gathered and told to the supervisor, message by message. Pure.

Memory is bounded: so many programs are distinguished, and of one program, call and capability so
many different details. Both are the target's to choose, who could make new ones for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

_DETAILS = 24
_OTHERS = "(others)"
_PROGRAMS = _SAID = 1000
_ANY = "?"


class EvidenceLog:
    """Each distinct fact is told once, at once; how often it was seen, at the end."""

    def __init__(
        self, tell: Callable[[Mapping[str, Any]], None], clock: Callable[[], float]
    ) -> None:
        """``tell`` sends a message; ``clock`` says at which time a fact is seen."""
        self.tell, self._clock = tell, clock
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._counts: Counter[int] = Counter()
        self._raised: Counter[int] = Counter()
        self._details: Counter[tuple[Any, ...]] = Counter()
        self._proofs: Counter[tuple[str, str, int]] = Counter()
        self._latest: dict[tuple[str, str], int] = {}
        self._said: set[str] = set()
        self._programs: set[str] = set()

    def named(self, program: str) -> str:
        """The name under which what a program does is told."""
        if program not in self._programs and len(self._programs) >= _PROGRAMS:
            return _ANY
        self._programs.add(program)
        return program

    def tell_once(self, **message: Any) -> None:
        """Send what is true once it was said."""
        text = repr(message)
        if text not in self._said and len(self._said) < _SAID:
            self._said.add(text)
            self.tell(message)

    def note(
        self, how: str, cap: int, program: str, call: str, detail: str | None, **more: Any
    ) -> int:
        """One fact: ``how`` is shown, refused, asked or probe. Returns how often it was seen, by
        program, call and capability."""
        same = (more.get("errno"), more.get("result"), more.get("changes"))
        where = (how, cap, program, call, *same)
        key = (*where, detail)
        if key not in self._numbers:
            self._details[where] += 1
            if self._details[where] > _DETAILS:
                detail = _OTHERS
                key = (*where, detail)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._numbers)
            fact = {"id": number, "how": how, "cap": cap, "program": program, "call": call}
            self.tell({"fact": {**fact, "detail": detail, "at": self._clock(), **more}})
        self._counts[number] += 1
        self._proofs[program, call, cap] += 1
        self._latest[program, call] = number
        return self._proofs[program, call, cap]

    def ran_raised(self, program: str, call: str) -> None:
        """The call succeeded while what it was shown to need was still raised."""
        number = self._latest.get((program, call))
        if number is not None:
            self._raised[number] += 1

    def finish(self, refusals: Counter[tuple[str, str, str, tuple[int, ...]]]) -> None:
        """Tell the counts."""
        self.tell({"counts": [[n, count, self._raised[n]] for n, count in self._counts.items()]})
        self.tell({"refusals": [[*key, count] for key, count in refusals.items()]})
