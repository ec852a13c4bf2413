"""Compares what trials left behind, and says what a trial with fewer capabilities lost. Pure.

Two trials of one set also differ: in random names, in times, in the order of events. Such trials
show what is noise, and the comparison leaves it out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from capadvise.judgement.lines import QUIET, LineNoise, learn_lines, shape_of
from capadvise.model.caps import CapSet, Credentials, Sets, from_mask, mask_of
from capadvise.model.wording import counted, set_text

_ANY = "*"
"""Stands for what is random in a name."""
_MOST_EXAMPLES = 3
_MESSAGE, _NO_MESSAGE = "new message: ", "no message "
ORIGINAL = ", changed from the image"
"""Ends the text for a file that is also in the image of a container: the container's layer holds
what was changed, and all other files are as in the image."""
CHANGED = ", changed"
"""Ends the text for a file that was there before the trial: all other files are as before."""
SAME = ", as before"
"""Ends the text for a file that a trial wrote to, or whose owner or mode it set, without a change:
the recorded run has done the same before."""
REMOVED = "removed"
"""The text for a file that was there before the trial."""
_MISSING = "missing"
KIND, SIZE, TIME, CONTENT = "kind", "size", "time", "content"
"""Fields of a file. Others are called ``attribute NAME``."""
_OWNER, _MODE, _CHANGE = "owner", "mode", "change"
_User = tuple[str, ...]
"""See ``Credentials.user``."""
Detail = tuple[str, str, str]
"""Path, field, value."""
_Values = frozenset[str] | None
_FEW_BYTES = 64
OUTPUT, CHECK = "stdout", "what the health check printed"
"""The streams of ``Observed.printed``."""


@dataclass(frozen=True, slots=True)
class Observed:
    """The traces of one trial, to be compared with those of the trial with everything."""

    exit_status: int | None
    stderr: tuple[str, ...] = ()
    """Lines, with numbers replaced."""
    files: tuple[tuple[str, str], ...] = ()
    """Path below the scratch directory → owner, group, mode, file capabilities."""
    credentials: tuple[Credentials, ...] = ()
    """Those of the processes at check time."""
    granted: CapSet = frozenset()
    """The set of the trial."""
    listening: tuple[str, ...] = ()
    """The ports at which they wait, without those that the kernel chose: ``tcp:80``."""
    details: tuple[Detail, ...] = ()
    """Kind, size, time, content and attributes of the files."""
    printed: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Stream → its lines."""
    stopped: str = ""
    """Where the limits ended the comparison of its files; empty: nowhere."""
    uncompared: tuple[str, ...] = ()
    """The folders that it wrote to, and that were not looked at."""

    def lines(self, stream: str) -> tuple[str, ...]:
        return dict(self.printed).get(stream, ())


@dataclass(frozen=True, slots=True)
class _RandomName:
    """Names in one folder that differ each time."""

    folder: str
    prefix: str
    suffix: str
    fixed: frozenset[str] = frozenset()
    """Names in that folder that do not differ."""

    def covers(self, name: str) -> bool:
        fits = name.startswith(self.prefix) and name.endswith(self.suffix)
        long = len(name) >= len(self.prefix) + len(self.suffix)
        return fits and long and name not in self.fixed


@dataclass(frozen=True, slots=True)
class Noise:
    """The differences that the comparison leaves out."""

    names: tuple[_RandomName, ...] = ()
    paths: frozenset[str] = frozenset()
    """Paths that exist only sometimes."""
    fields: frozenset[tuple[str, str]] = frozenset()
    """Path and field that vary. If its content varies, the size of a file is compared roughly."""
    stderr: LineNoise = QUIET
    printed: tuple[tuple[str, LineNoise], ...] = ()
    users: frozenset[_User] = frozenset()
    """Processes that exist only sometimes, by their users; ``*``: with another name each time."""
    masks: frozenset[_User] = frozenset()
    """Processes whose capability sets and limits vary, by their users."""
    listening: frozenset[str] = frozenset()
    exit_status: bool = False

    def of(self, stream: str) -> LineNoise:
        """The noise of a stream."""
        return dict(self.printed).get(stream, QUIET)

    def shapes(self, observed: Observed) -> Mapping[str, str]:
        """Each path, without those that exist only sometimes → the path with ``*`` for its random
        part."""
        by_folder: dict[str, list[_RandomName]] = {}
        for one in self.names:
            by_folder.setdefault(one.folder, []).append(one)
        shapes = ((path, _shape(path, by_folder)) for path, _ in observed.files)
        sometimes = tuple(f"{one}/" for one in self.paths)
        return {path: shape for path, shape in shapes if not f"{shape}/".startswith(sometimes)}

    def files(self, observed: Observed) -> Mapping[str, str]:
        """The files without the noise: the shape of the path → owners and modes of all files with
        that path."""
        texts: dict[str, set[str]] = {}
        shapes = self.shapes(observed)
        for path, text in observed.files:
            if (shape := shapes.get(path)) is not None and (shape, _CHANGE) not in self.fields:
                texts.setdefault(shape, set()).add(self._without_noise(shape, text))
        return {path: " and ".join(sorted(each)) for path, each in texts.items()}

    def _without_noise(self, shape: str, text: str) -> str:
        owner, space, mode = text.partition(" ")
        mode, comma, rest = mode.partition(",")
        owner = _ANY if (shape, _OWNER) in self.fields else owner
        mode = _ANY if (shape, _MODE) in self.fields else mode
        return f"{owner}{space}{mode}{comma}{rest}"

    def details(self, observed: Observed) -> Mapping[tuple[str, str], frozenset[str]]:
        """The values of the fields of the files with one shape of path."""
        values: dict[tuple[str, str], set[str]] = {}
        shapes = self.shapes(observed)
        for path, name, value in observed.details:
            if (shape := shapes.get(path)) is not None and (shape, name) not in self.fields:
                values.setdefault((shape, name), set()).add(value)
        return {key: frozenset(each) for key, each in values.items()}


def _shape(path: str, by_folder: Mapping[str, Sequence[_RandomName]]) -> str:
    if not by_folder:
        return path
    folder: str | None = None
    for given in path.split("/"):
        random = (one for one in by_folder.get(folder or "", ()) if one.covers(given))
        name = next((f"{one.prefix}{_ANY}{one.suffix}" for one in random), given)
        folder = name if folder is None else f"{folder}/{name}"
    return folder or ""


SILENCE = Noise()


def learn(noise: Noise, one: Observed, other: Observed) -> Noise:
    """Add the differences between two trials of one set to the known noise."""
    one, other = _of_both(one, other)
    noise = _learn_fields(_learn_names(noise, one, other), one, other)
    noise = _learn_processes(noise, one, other)
    streams = dict.fromkeys(name for name, _ in (*one.printed, *other.printed))
    return replace(
        noise,
        stderr=learn_lines(noise.stderr, one.stderr, other.stderr),
        printed=tuple(
            (name, learn_lines(noise.of(name), one.lines(name), other.lines(name)))
            for name in streams
        ),
        listening=noise.listening | ({*one.listening} ^ {*other.listening}),
        exit_status=noise.exit_status or one.exit_status != other.exit_status,
    )


def _learn_names(noise: Noise, one: Observed, other: Observed) -> Noise:
    for _ in range(64):  # folders first: once the name of one is known, its files are compared
        mine, theirs = noise.files(one).keys(), noise.files(other).keys()
        here, there = _topmost(mine - theirs), _topmost(theirs - mine)
        both = {path.rpartition("/")[::2] for path in mine & theirs} if here and there else set()
        more = [
            _random(folder, [*here[folder], *there[folder]], both)
            for folder in here.keys() & there.keys()
        ]
        if not more:
            break
        noise = replace(noise, names=(*noise.names, *more))
    return noise


def _learn_fields(noise: Noise, one: Observed, other: Observed) -> Noise:
    fields, paths = set(noise.fields), set(noise.paths)
    for path, was, now in _changed(noise.files(one), noise.files(other)):
        if _MISSING not in (was, now):
            fields |= {(path, name) for name in _parts_that_differ(was, now)}
        elif REMOVED in (was, now) or _mark(was + now):
            fields.add((path, _CHANGE))
        else:
            paths.add(path)
    noise = replace(noise, fields=frozenset(fields), paths=frozenset(paths))
    for path, name, _, _ in _changed_details(noise, one, other):
        fields.add((path, CONTENT if name == SIZE else name))
    noise = replace(noise, fields=frozenset(fields))
    for these, others in ((one, other), (other, one)):  # sizes, roughly
        fields |= {change[:2] for change in _changed_details(noise, these, others)}
    return replace(noise, fields=frozenset(fields))


def _parts_that_differ(was: str, now: str) -> Iterator[str]:
    (owner, _, mode), (other_owner, _, other_mode) = was.partition(" "), now.partition(" ")
    if owner != other_owner:
        yield _OWNER
    if mode != other_mode:
        yield _MODE


def _topmost(paths: Iterable[str]) -> dict[str, list[str]]:
    """Names by their folder, without paths that are below another one of them."""
    names: dict[str, list[str]] = {}
    there = set(paths)
    for path in sorted(there):
        folder, _, name = path.rpartition("/")
        if folder not in there:
            names.setdefault(folder, []).append(name)
    return names


def _random(folder: str, names: Sequence[str], fixed: Iterable[tuple[str, str]]) -> _RandomName:
    """Keep the common parts of the names; a few letters or digits can be common by chance."""
    prefix = _whole_parts(_beginning(names))
    rest = [name[len(prefix) :][::-1] for name in names]
    suffix = _whole_parts(_beginning(rest))[::-1]
    return _RandomName(
        folder, prefix, suffix, frozenset(name for where, name in fixed if where == folder)
    )


def _beginning(names: Sequence[str]) -> str:
    first, last = min(names), max(names)
    differs = (at for at, char in enumerate(first) if not last.startswith(char, at))
    return first[: next(differs, len(first))]


def _whole_parts(text: str) -> str:
    last = re.search(r"[A-Za-z0-9]*$", text)
    part = last[0] if last else ""
    by_chance = len(part) < 3 or any(map(str.isdecimal, part))
    return text[: len(text) - len(part)] if by_chance else text


def compare(full: Observed, less: Observed, noise: Noise = SILENCE) -> list[str]:
    """Say what was lost, one sentence for each difference to the trial with everything that is not
    noise."""
    if full == less:
        return []
    full, less = _of_both(full, less)
    lost = []
    if full.exit_status != less.exit_status and not noise.exit_status:
        lost.append(f"it exits with {less.exit_status} instead of {full.exit_status}")
    silent, new = noise.stderr.changed(full.stderr, less.stderr)
    shapes = {shape_of(line): line for line in reversed(new)}  # of new ones, each shape once
    said = [f'{_MESSAGE}"{line}"' for line in reversed(shapes.values())]
    lost += (said or [f'{_NO_MESSAGE}"{line}"' for line in silent])[:_MOST_EXAMPLES]
    lost += _compare_files(full, less, noise)
    lost += _compare_printed(full, less, noise)
    lost += _compare_processes(full, less, noise)
    gone = {*full.listening} - {*less.listening} - noise.listening
    lost += [f"it does not listen on {port}" for port in sorted(gone)]
    if not noise.listening:  # else it listens on others each time
        lost += [f"it listens on {port}" for port in less.listening if port not in full.listening]
    return lost


def _of_both(one: Observed, other: Observed) -> tuple[Observed, Observed]:
    """Without the files in folders that were looked at in one of them only."""
    folders = tuple(f"{folder}/" for folder in {*one.uncompared} ^ {*other.uncompared})

    def limited(seen: Observed) -> Observed:
        files = (item for item in seen.files if not f"{item[0]}/".startswith(folders))
        details = (item for item in seen.details if not f"{item[0]}/".startswith(folders))
        return replace(seen, files=tuple(files), details=tuple(details))

    return (limited(one), limited(other)) if folders else (one, other)


@dataclass(frozen=True, slots=True)
class _Processes:
    """The processes of two trials. Of their capability sets, only the members that both trials had
    count: a trial's own smaller set is no loss."""

    before: frozenset[Credentials]
    after: frozenset[Credentials]
    gone: tuple[Credentials, ...]
    new: tuple[Credentials, ...]

    @classmethod
    def of(cls, full: Observed, less: Observed, noise: Noise) -> _Processes:
        within = mask_of(full.granted & less.granted)
        before, after = (
            frozenset(_limited(process, within, noise.masks) for process in one.credentials)
            for one in (full, less)
        )
        programs = {process.program for process in before}

        def counts(process: Credentials) -> bool:
            unknown = process.program not in programs
            varies = unknown and (_ANY, *process.user[1:]) in noise.users
            return not varies and process.user not in noise.users

        gone = (was for was in before if not any(_holds_as_much(now, was) for now in after))
        new = (now for now in after if not any(_holds_as_much(now, was) for was in before))
        return cls(
            before, after, *(tuple(sorted(filter(counts, processes))) for processes in (gone, new))
        )


def _limited(process: Credentials, within: int, varying: frozenset[_User]) -> Credentials:
    name = re.sub(r"(?<=[-_/:#])\d+", "N", process.program)
    limited = process._replace(program=name, masks=tuple(mask & within for mask in process.masks))
    return Credentials(*limited[:4]) if limited.user in varying else limited


def _holds_as_much(now: Credentials, was: Credentials) -> bool:
    """True if it has the same users and capabilities, and at least the same limits: a flag beside
    the set of a trial adds one."""
    limits = now.no_new_privs >= was.no_new_privs and now.filters >= was.filters
    return limits and now[:5] == was[:5]


def _learn_processes(noise: Noise, one: Observed, other: Observed) -> Noise:
    users, masks = set(noise.users), set(noise.masks)
    pairs = [_Processes.of(*two, noise) for two in ((one, other), (other, one))]
    for pair in pairs:
        both = {was.user for was in pair.before} & {now.user for now in pair.after}
        for process in (*pair.gone, *pair.new):
            (masks if process.user in both else users).add(process.user)
        renamed = {was.user[1:] for was in pair.gone} & {now.user[1:] for now in pair.new}
        users |= {(_ANY, *ids) for ids in renamed}
    return replace(noise, users=frozenset(users), masks=frozenset(masks))


def _compare_processes(full: Observed, less: Observed, noise: Noise) -> Iterator[str]:
    seen = _Processes.of(full, less, noise)
    for now in seen.new:
        of_user = [was for was in (*seen.gone, *seen.before) if was.user == now.user]
        if of_user:
            yield from _other_limits(of_user[0], now)
            continue
        others = f" with {f'the groups {now.groups}' if now.groups else 'no other group'}"
        known = any(was[:3] == now[:3] for was in seen.before)
        yield f"{now.program} runs as {_user_text(now)}{others if known else ''}"
    yield from _gone_processes(seen)


def _gone_processes(seen: _Processes) -> Iterator[str]:
    told = {now.program for now in seen.new}
    for was in seen.gone:
        of_program = [now for now in seen.after if now.program == was.program]
        same = [now for now in of_program if now.user == was.user]
        if was.program in told:
            continue
        if same:
            yield from _other_limits(was, same[0])
        elif of_program:
            yield f"no {was.program} runs as {_user_text(was)}"
        else:
            yield f"{was.program} does not run"


def _user_text(process: Credentials) -> str:
    """``33:33``, with the other ids that it can take again."""
    uids, gids = process.uids.split(), process.gids.split()
    uid, gid = (ids[len(ids) > 1] for ids in (uids, gids))
    others = [f"user {one}" for one in sorted({*uids} - {uid})]
    others += [f"group {one}" for one in sorted({*gids} - {gid})]
    return f"{uid}:{gid}" + (f", and can be {' and '.join(others)} again" if others else "")


def _other_limits(was: Credentials, now: Credentials) -> Iterator[str]:
    who = f"{now.program}, as {_user_text(now)},"
    for verb, more, less in (("keeps", now, was), ("lacks", was, now)):
        sets: dict[CapSet, list[str]] = {}
        for name, mine, theirs in zip(Sets._fields, more.masks, less.masks, strict=True):
            if mine & ~theirs:
                sets.setdefault(from_mask(mine & ~theirs), []).append(name)
        for caps, where in sets.items():
            yield f"{who} {verb} {set_text(caps)} ({', '.join(where)})"
    if was.no_new_privs > now.no_new_privs:
        yield f"{who} is without no_new_privs"
    if was.filters > now.filters:
        yield f"{who} is without a seccomp filter"


def _compare_printed(full: Observed, less: Observed, noise: Noise) -> Iterator[str]:
    for stream, who in ((OUTPUT, "it"), (CHECK, "the health check")):
        gone, new = noise.of(stream).changed(full.lines(stream), less.lines(stream))
        if len(gone) == len(new) == 1:
            yield f'{who} prints "{new[0]}" instead of "{gone[0]}"'
            continue
        yield from (f'{who} does not print "{line}"' for line in gone[:_MOST_EXAMPLES])
        yield from (f'{who} prints "{line}"' for line in new[:_MOST_EXAMPLES])


def _compare_files(full: Observed, less: Observed, noise: Noise) -> list[str]:
    """One sentence for each file and field. Files that only one trial has show nothing if the
    comparison was cut short."""
    if (full.files, full.details) == (less.files, less.details):
        return []  # most trials leave the same, and there can be thousands of files
    partly = bool(full.stopped or less.stopped)
    lost = []
    for path, was, now in _changed(noise.files(full), noise.files(less)):
        if not partly or _MISSING not in (was, now):
            lost.append((path, _sentence(path, was, now)))
    told = set()
    for path, name, before, after in _changed_details(noise, full, less):
        if path not in told:
            lost.append((path, _detail_sentence(path, name, before, after)))
        if name in (KIND, SIZE):
            told.add(path)  # its content and time differ, too
    return [sentence for _, sentence in sorted(lost, key=lambda one: one[0])]


def _sentence(path: str, was: str, now: str) -> str:
    if now == _MISSING and was == REMOVED:
        return f"{path} is not removed"
    if now == REMOVED and was == _MISSING:
        return f"{path} is removed"
    if now == _MISSING and was.endswith(ORIGINAL):
        return f"{path} stays as it is in the image"
    if now == _MISSING and _mark(was):
        return f"{path} {'stays as it was' if _mark(was) == CHANGED else 'is not written to'}"
    if was == _MISSING and now.endswith(ORIGINAL):
        return f"{path} is {now}"
    if was == _MISSING and _mark(now):
        return f"{path} is {_plain(now)}, changed"
    return f"{path} is {_plain(now)} instead of {_plain(was)}"


def _mark(text: str) -> str | None:
    """The end of the text of a file that was there before."""
    return next((mark for mark in (ORIGINAL, CHANGED, SAME) if text.endswith(mark)), None)


def _plain(text: str) -> str:
    for mark in (ORIGINAL, CHANGED, SAME):
        text = text.replace(mark, "")
    return text


def _detail_sentence(path: str, name: str, was: str, now: str) -> str:
    if name == KIND:
        return f"{path} is {now} instead of {was}"
    if name == SIZE:
        return f"{path} has {now} bytes instead of {was}"
    if name == CONTENT:
        return f"{path} has other content"
    if name == TIME:
        return f"{path} has another time of change"
    if now == _MISSING:
        return f"{path} has no {name}"
    return f"{path} has " + ("the " if was == _MISSING else "another value of ") + name


def _changed_details(
    noise: Noise, full: Observed, less: Observed
) -> Iterator[tuple[str, str, str, str]]:
    """Path, field, values before and now, for files that both have."""
    before, after = noise.details(full), noise.details(less)
    shared = noise.files(full).keys() & noise.files(less).keys()
    names = sorted({*before, *after}, key=lambda at: (at[0], at[1] != KIND, at[1] != SIZE, at[1]))
    for path, name in names:  # of a file, what decides most comes first
        was, now = before.get((path, name)), after.get((path, name))
        if was != now and path in shared and not _says_little(noise, path, name, was, now):
            yield path, name, _of_several(was), _of_several(now)


def _says_little(noise: Noise, path: str, name: str, was: _Values, now: _Values) -> bool:
    if name == CONTENT:
        return was is None or now is None  # one was not read
    if name == SIZE and (path, CONTENT) in noise.fields and was and now:
        least, most = min(map(int, was)), max(map(int, now))
        little = most == 0 < least or (least >= _FEW_BYTES and 2 * most < least)
        return not little
    return False


def _of_several(values: _Values) -> str:
    return " and ".join(sorted(values)) if values else _MISSING


def _changed(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """(path, text before, text now)."""
    for path in sorted({*before, *after}):
        was, now = before.get(path, _MISSING), after.get(path, _MISSING)
        if _plain(was) != _plain(now):
            yield path, was, now


def effects(lost: Sequence[str]) -> list[str]:
    """The differences without those in the messages: a program that goes on without a capability
    often says so."""
    return [one for one in lost if not one.startswith((_MESSAGE, _NO_MESSAGE))]


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
    _more: int = 2
    """How often everything can be tried again."""
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
        """The differences that only the capabilities can explain. If there is one, everything is
        tried a second time, and a third time if that was not the same again."""
        while (lost := compare(more, less, self._noise or SILENCE)) and self._more:
            left, self._more = self._more - 1, 0  # what it tries is compared, too
            again = self.once_more()
            if again is not None:
                differs = compare(self.first, again) or compare(again, self.first)
                self._more = left if differs else 0
                self.equal(self.first, again)
        return lost

    def known_lost(self, more: Observed, less: Observed) -> list[str]:
        """The same, with the noise that is known by now."""
        return compare(more, less, self._noise or SILENCE)

    def compared(self, isolation: str) -> tuple[str, ...]:
        """The kinds of traces that trials were compared by."""
        log = "journal" if isolation == "unit" else "stderr"
        return tuple(_compared(self.first, self._noise or SILENCE, log))

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


def _compared(first: Observed, noise: Noise, log: str) -> Iterator[str]:
    if count := len(first.files):
        folders = len({path.rpartition("/")[0] for path, _ in first.files})
        what = "owners and modes" if not first.details else _ALL_FIELDS
        files = counted(count, "changed file" if first.details else "file")
        varying = sum(name == CONTENT for _, name in noise.fields)
        but = f" (the contents of {varying} of them vary)" if varying else ""
        yield f"{what} of {files} in {counted(folders, 'folder')}{but}"
    yield from (name for name, _ in first.printed)
    yield log
    if first.credentials:
        yield "users, capabilities and limits of the processes"
    if first.listening:
        yield "listening ports"
    if not noise.exit_status:
        yield "exit status"
    if log == "journal":
        yield "not compared: the unit's files, which are the real ones"
    elif first.uncompared:
        yield f"not compared: what it wrote to {', '.join(first.uncompared)}"


_ALL_FIELDS = "owners, modes, sizes, attributes and contents"
