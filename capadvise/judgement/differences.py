"""Compares what trials left behind, and says what a trial with fewer capabilities lost. Pure.

Two trials of one set also differ: in random names, in times, in the order of events. Such trials
show what is noise, and the comparison leaves it out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

_ANY = "*"
"""Stands for what is random in a name."""
_WORD = r"[^\s,;()\[\]<>\"']+"
_MOST_EXAMPLES = 3
_MESSAGE = "new message: "
ORIGINAL = ", changed from the image"
"""Ends the text for a file that is also in the image of a container: the container's layer holds
what was changed, and all other files are as in the image."""


@dataclass(frozen=True, slots=True)
class Observed:
    """The traces of one trial, to be compared with those of the trial with everything."""

    exit_status: int | None
    stderr: tuple[str, ...] = ()
    """Lines, with numbers replaced."""
    files: tuple[tuple[str, str], ...] = ()
    """Path below the scratch directory → owner, group, mode, file capabilities."""
    credentials: tuple[tuple[str, int, int], ...] = ()
    """(program, uid, gid) of the processes at check time."""


@dataclass(frozen=True, slots=True)
class _RandomName:
    """Names in one folder that differ each time."""

    folder: str
    prefix: str
    suffix: str

    def covers(self, folder: str, name: str) -> bool:
        """True if the name is one of them."""
        fits = name.startswith(self.prefix) and name.endswith(self.suffix)
        return folder == self.folder and fits and len(name) >= len(self.prefix) + len(self.suffix)


@dataclass(frozen=True, slots=True)
class Noise:
    """The differences that the comparison leaves out."""

    names: tuple[_RandomName, ...] = ()
    paths: frozenset[str] = frozenset()
    """Paths that exist only sometimes, or whose owner or mode varies."""
    lines: frozenset[str] = frozenset()
    """Lines of the standard error, with random-looking words replaced."""
    credentials: frozenset[tuple[str, int, int]] = frozenset()
    exit_status: bool = False

    def files(self, observed: Observed) -> Mapping[str, str]:
        """The files without the noise: path, with ``*`` for its random part → owners and modes of
        all files with that path."""
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
    """Add the differences between two trials of one set to the known noise."""
    for _ in range(64):  # folders first: once the name of one is known, its files are compared
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
    """Names by their folder, without paths that are below another one of them."""
    names: dict[str, list[str]] = {}
    there = set(paths)
    for path in sorted(there):
        folder, _, name = path.rpartition("/")
        if folder not in there:
            names.setdefault(folder, []).append(name)
    return names


def _random(folder: str, names: Sequence[str]) -> _RandomName:
    """Keep the common parts of the names; a few letters or digits can be common by chance."""
    prefix = _whole_parts(_beginning(names))
    rest = [name[len(prefix) :][::-1] for name in names]
    return _RandomName(folder, prefix, _whole_parts(_beginning(rest))[::-1])


def _beginning(names: Sequence[str]) -> str:
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
    """True if it has a number (``N``), or letters of both cases after its first."""
    return "N" in word or (any(map(str.isupper, word[1:])) and any(map(str.islower, word)))


def compare(full: Observed, less: Observed, noise: Noise = SILENCE) -> list[str]:
    """Say what was lost, one sentence for each difference to the trial with everything that is not
    noise."""
    lost = []
    if full.exit_status != less.exit_status and not noise.exit_status:
        lost.append(f"it exits with {less.exit_status} instead of {full.exit_status}")
    new = {_shape_of_line(line): line for line in reversed(less.stderr) if line not in full.stderr}
    lines = [line for shape, line in reversed(new.items()) if shape not in noise.lines]
    lost += [f'{_MESSAGE}"{line}"' for line in lines[:_MOST_EXAMPLES]]
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
    """(path, text before, text now)."""
    for path in sorted({*before, *after}):
        if before.get(path) != after.get(path):
            yield path, before.get(path, "missing"), after.get(path, "missing")


def examples(lost: Sequence[str]) -> str:
    """The first few of them, each once, and the messages behind one label; the report holds all."""
    every = [*dict.fromkeys(lost)]
    shown, more = every[:_MOST_EXAMPLES], len(every) - _MOST_EXAMPLES
    said = [text.removeprefix(_MESSAGE) for text in shown if text.startswith(_MESSAGE)]
    if len(said) > 1:
        first = next(at for at, text in enumerate(shown) if text.startswith(_MESSAGE))
        shown = [text for text in shown if not text.startswith(_MESSAGE)]
        shown.insert(first, f"new messages: {', '.join(said)}")
    return "; ".join(shown) + (f"; and {more} more" if more > 0 else "")


@dataclass
class Comparisons:
    """Compares the trials of one workload. It learns the noise once something differs: most trials
    leave the same."""

    first: Observed
    """The trial with everything."""
    once_more: Callable[[], Observed | None]
    """Makes a second trial with everything; None: it failed."""
    _noise: Noise | None = None
    """None: nothing has differed yet."""
    _compared: dict[int, tuple[Observed, Observed]] = field(default_factory=dict)
    """By the number of each trial that passed: the traces that it is compared with, and its own."""
    _lost: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """The known differences of each trial, until more noise is learned: comparing takes thousands
    of files, and the search asks before each removal."""

    @property
    def know_noise(self) -> bool:
        """True if everything was tried a second time."""
        return self._noise is not None

    def lost(self, more: Observed, less: Observed) -> list[str]:
        """The differences that only the capabilities can explain."""
        if not compare(more, less):
            return []
        if self._noise is None:
            self._noise = SILENCE
            if (again := self.once_more()) is not None:
                self.equal(self.first, again)
        return compare(more, less, self._noise)

    def equal(self, one: Observed, other: Observed) -> None:
        """Learn from two trials of one set: their differences are noise."""
        self._lost.clear()
        self._noise = learn(self._noise or SILENCE, one, other)

    def note(self, number: int, more: Observed, less: Observed) -> None:
        """Keep the traces of a trial that passed."""
        self._compared[number] = more, less

    def of_trial(self, number: int) -> tuple[str, ...] | None:
        """The differences of one trial, without the noise known by now; None: it failed."""
        if number not in self._compared:
            return None
        if number not in self._lost:
            noise = self._noise or SILENCE
            self._lost[number] = tuple(compare(*self._compared[number], noise))
        return self._lost[number]
