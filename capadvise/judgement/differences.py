"""What a trial left behind, and what was lost in comparison with one that had more. Pure.

Two trials of one set differ, too: in random names, in times, in the order of events. That noise is
learned from such trials, and not compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

_ANY = "*"
"""Stands for what is random in a name."""
_WORD = r"[^\s,;()\[\]<>\"']+"
_MOST_EXAMPLES = 3
ORIGINAL = ", changed from the image"
"""Ends what is told of a file that the image of a container has, too: its layer holds what was
changed, and what it does not hold is as in the image."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What a trial left behind, to be compared with the one that had everything."""

    exit_status: int | None
    stderr: tuple[str, ...] = ()
    """Lines, numbers blanked out."""
    files: tuple[tuple[str, str], ...] = ()
    """Path below the scratch directory → owner, group, mode, file capabilities."""
    credentials: tuple[tuple[str, int, int], ...] = ()
    """(program, uid, gid) of the processes at check time."""


@dataclass(frozen=True, slots=True)
class _RandomName:
    """Names in one folder that are others each time."""

    folder: str
    prefix: str
    suffix: str

    def covers(self, folder: str, name: str) -> bool:
        """Whether a name is such a one."""
        fits = name.startswith(self.prefix) and name.endswith(self.suffix)
        return folder == self.folder and fits and len(name) >= len(self.prefix) + len(self.suffix)


@dataclass(frozen=True, slots=True)
class Noise:
    """What is not compared."""

    names: tuple[_RandomName, ...] = ()
    paths: frozenset[str] = frozenset()
    """That are there at times only, or whose owner or mode is another at times."""
    lines: frozenset[str] = frozenset()
    """Of the standard error, with what looks random blanked out."""
    credentials: frozenset[tuple[str, int, int]] = frozenset()
    exit_status: bool = False

    def files(self, observed: Observed) -> Mapping[str, str]:
        """What is left of the files: path, with ``*`` for what is random in it → owners and modes
        of all that are called so."""
        texts: dict[str, set[str]] = {}
        for path, text in observed.files:
            shape = self._shape(path)
            if not any(shape == one or shape.startswith(f"{one}/") for one in self.paths):
                texts.setdefault(shape, set()).add(text)
        return {path: " and ".join(sorted(each)) for path, each in texts.items()}

    def _shape(self, path: str) -> str:
        folder = ""
        for given in path.split("/") if self.names else (path,):
            random = (one for one in self.names if one.covers(folder, given))
            name = next((f"{one.prefix}{_ANY}{one.suffix}" for one in random), given)
            folder = f"{folder}/{name}" if folder else name
        return folder


SILENCE = Noise()


def learn(noise: Noise, one: Observed, other: Observed) -> Noise:
    """What differs between two trials that should be equal, added to what is known."""
    for _ in range(64):  # folders first: what is below one is compared once its name is known
        mine, theirs = noise.files(one).keys(), noise.files(other).keys()
        here, there = _topmost(mine - theirs), _topmost(theirs - mine)
        more = [_random(folder, [*here[folder], *there[folder]]) for folder in here.keys() & there]
        if not more:
            break
        noise = replace(noise, names=(*noise.names, *more))
    before, after = noise.files(one), noise.files(other)
    lines = {*one.stderr} ^ {*other.stderr}
    return replace(
        noise,
        paths=noise.paths | {path for path, _, _ in _changed(before, after)},
        lines=noise.lines | {_shape_of_line(line) for line in lines},
        credentials=noise.credentials | ({*one.credentials} ^ {*other.credentials}),
        exit_status=noise.exit_status or one.exit_status != other.exit_status,
    )


def _topmost(paths: Iterable[str]) -> dict[str, list[str]]:
    """Names by their folder, without what is below another of the paths."""
    names: dict[str, list[str]] = {}
    there = set(paths)
    for path in sorted(there):
        folder, _, name = path.rpartition("/")
        if folder not in there:
            names.setdefault(folder, []).append(name)
    return names


def _random(folder: str, names: Sequence[str]) -> _RandomName:
    """What the names have in common; a few letters or digits, they share by chance."""
    prefix = _whole_parts(_beginning(names))
    rest = [name[len(prefix) :][::-1] for name in names]
    return _RandomName(folder, prefix, _whole_parts(_beginning(rest))[::-1])


def _beginning(names: Sequence[str]) -> str:
    """What all of them begin with."""
    first, last = min(names), max(names)
    differs = (at for at, char in enumerate(first) if not last.startswith(char, at))
    return first[: next(differs, len(first))]


def _whole_parts(text: str) -> str:
    last = re.search(r"[A-Za-z0-9]*$", text)
    part = last[0] if last else ""
    by_chance = len(part) < 3 or any(map(str.isdecimal, part))
    return text[: len(text) - len(part)] if by_chance else text


def _shape_of_line(line: str) -> str:
    return re.sub(_WORD, lambda word: _ANY if _looks_random(word[0]) else word[0], line)


def _looks_random(word: str) -> bool:
    """It has a number (``N``), or letters of both cases after its first."""
    return "N" in word or (any(map(str.isupper, word[1:])) and any(map(str.islower, word)))


def compare(full: Observed, less: Observed, noise: Noise = SILENCE) -> list[str]:
    """What was lost, in sentences: each is a difference to the run that had everything, and none
    of the noise."""
    lost = []
    if full.exit_status != less.exit_status and not noise.exit_status:
        lost.append(f"it exits with {less.exit_status} instead of {full.exit_status}")
    said = [line for line in less.stderr if line not in full.stderr]
    heard = [line for line in said if _shape_of_line(line) not in noise.lines]
    lost += [f"it says: {line}" for line in [*dict.fromkeys(heard)][:_MOST_EXAMPLES]]
    for path, was, now in _changed(noise.files(full), noise.files(less)):
        if now == "missing" and was.endswith(ORIGINAL):
            lost.append(f"{path} stays as it is in the image")
        elif was == "missing" and now.endswith(ORIGINAL):
            lost.append(f"{path} is {now}")
        else:
            lost.append(f"{path} is {now} instead of {was}".replace(ORIGINAL, ""))
    for program, uid, gid in less.credentials:
        if (program, uid, gid) not in {*full.credentials, *noise.credentials}:
            lost.append(f"{program} runs as {uid}:{gid}")
    return lost


def _changed(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Path, what it was, what it is now."""
    for path in sorted({*before, *after}):
        if before.get(path) != after.get(path):
            yield path, before.get(path, "missing"), after.get(path, "missing")


def examples(lost: Sequence[str]) -> str:
    """The first of them, for people; the report holds all."""
    more = len(lost) - _MOST_EXAMPLES
    return "; ".join(lost[:_MOST_EXAMPLES]) + (f"; and {more} more" if more > 0 else "")


@dataclass
class Comparisons:
    """Noise is learned once something differs: most trials leave the same."""

    first: Observed
    """Of the trial with everything."""
    once_more: Callable[[], Observed | None]
    """A second trial with everything; None: it failed."""
    _noise: Noise | None = None
    """None: nothing has differed yet."""
    _compared: dict[int, tuple[Observed, Observed]] = field(default_factory=dict)
    """What the trials that passed were measured by, and what they left, by their number."""
    _lost: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """How these differ, as long as nothing new is known for noise: thousands of files are compared,
    and it is asked before each removal."""

    @property
    def know_noise(self) -> bool:
        """Whether everything has been tried once more."""
        return self._noise is not None

    def lost(self, more: Observed, less: Observed) -> list[str]:
        """What only the capabilities can have made."""
        if not compare(more, less):
            return []
        if self._noise is None:
            self._noise = SILENCE
            if (again := self.once_more()) is not None:
                self.equal(self.first, again)
        return compare(more, less, self._noise)

    def equal(self, one: Observed, other: Observed) -> None:
        """Two trials of one set: what differs is noise."""
        self._lost.clear()
        self._noise = learn(self._noise or SILENCE, one, other)

    def note(self, number: int, more: Observed, less: Observed) -> None:
        """The trial of this number has passed."""
        self._compared[number] = more, less

    def of_trial(self, number: int) -> tuple[str, ...] | None:
        """What the trial of this number lost, by what is known to be noise now; None: it failed."""
        if number not in self._compared:
            return None
        if number not in self._lost:
            noise = self._noise or SILENCE
            self._lost[number] = tuple(compare(*self._compared[number], noise))
        return self._lost[number]
