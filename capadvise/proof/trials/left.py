"""All that a trial left on disk: the changed paths of its layers, with whatever can be compared.

The upper layer of an overlay names the changed paths; their values are read where programs see
them, since a changed owner copies no content. A path that is as it was below is no change. Every
limit is a fixed count or size, so that two trials stop at the same place; only the last limit, on
time, is not, and both say where they stopped.
"""

import heapq
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from capadvise.judgement.differences import (
    CHANGED,
    CONTENT,
    KIND,
    REMOVED,
    SAME,
    SIZE,
    TIME,
    Detail,
)
from capadvise.judgement.lines import OWN_CAPS
from capadvise.kernel.folders import FileText, as_on_disk, described
from capadvise.kernel.mounting import path_of
from capadvise.targets.image.ownership import WrittenFolder, is_whiteout

MOST_FILES = 20_000
_MOST_SECONDS = 10.0
_MOST_CONTENT, _LARGEST = 256 << 20, 16 << 20
"""Bytes of content of all files, and of one: of a larger one, its beginning and its end."""
_PART = 1 << 20
_SHORT = 64 << 10
_OWN_CAPS = re.compile(OWN_CAPS.encode())
_LABELS = ("security.selinux", "security.ima", "security.evm", "security.apparmor")
"""Attributes that the kernel itself writes."""
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFREG: "a file",
}


@dataclass(frozen=True, slots=True)
class OwnFolder:
    """A folder that belongs to one trial alone."""

    name: str
    """The path by which programs know it."""
    changed: int
    """Open folder with the changed entries."""
    below: int | None
    """Open folder with what was there before, if the other is the upper layer over it."""

    def before(self, path: str) -> str | None:
        """The path of what was there before; None: nothing."""
        return None if self.below is None else _joined(path_of(self.below), path)


def own_folder(name: str, changed: str, below: int | None = None) -> OwnFolder:
    """Open both folders, to find them again whatever is mounted over them later."""
    return OwnFolder(name, os.open(changed, os.O_PATH), None if below is None else os.dup(below))


@dataclass
class Left:
    """The changes, as far as they were read."""

    began: float
    """The time when the trial began."""
    files: list[FileText] = field(default_factory=list)
    details: list[Detail] = field(default_factory=list)
    stopped: str = ""
    """Where the limits ended the comparison; empty: nowhere."""
    uncompared: list[str] = field(default_factory=list)
    """The folders that could not be looked at."""
    _content: int = _MOST_CONTENT
    _end: float = field(default_factory=lambda: time.monotonic() + _MOST_SECONDS)

    owner: Callable[[os.stat_result], str] = as_on_disk
    mark: str = CHANGED
    """The end of the text for a changed file that was there before."""
    mounts: frozenset[str] = frozenset()
    """Names of places that cover an entry of another one."""
    gone: frozenset[str] = frozenset()
    """Entries of /tmp that were removed before the trial began, perhaps not all that was in them:
    other programs of the machine come and go there."""

    def look(
        self, top: str, name: str, seen: str, before: Callable[[str], str | None] | None
    ) -> None:
        """Add the changes of a place. ``top``: the folder with the changed entries; ``name``: its
        name in the report; ``seen``: the folder in which they are read; ``before``: None if
        ``top`` is no upper layer."""
        for path in self._below(top):
            if self.stopped:
                break
            shown = (os.path.join(name, path) if path else name) or "."
            if path and shown in self.mounts:
                continue
            with suppress(OSError):  # it has just gone
                if before is not None and is_whiteout(os.lstat(_joined(top, path))):
                    if "/".join(shown.split("/")[:3]) not in self.gone:
                        self.files.append((shown, REMOVED))
                else:
                    was = None if before is None else before(path)
                    self.add(shown, _joined(seen, path), _joined(top, path), was)
            if len(self.files) >= MOST_FILES:
                self.stopped = f"after {MOST_FILES} changed files, at {shown}"
            elif time.monotonic() > self._end:
                self.stopped = f"after {_MOST_SECONDS:g} s, at {shown}"

    def _below(self, top: str) -> Iterator[str]:
        """The folder itself, and each entry below it, sorted: names from there."""
        waiting = [""]
        while waiting:
            path = waiting.pop()
            yield path
            full = _joined(top, path)
            with suppress(OSError):
                if path and not stat.S_ISDIR(os.lstat(full).st_mode):
                    continue
                most = MOST_FILES - len(self.files) + 1
                with os.scandir(full) as entries:
                    names = heapq.nsmallest(most, (entry.name for entry in entries))
                waiting += [f"{path}/{name}" if path else name for name in reversed(names)]

    def add(self, shown: str, path: str, entry: str, before: str | None) -> None:
        """Add one entry if it has changed."""
        status = os.lstat(path)
        attributes = _attributes(path)
        was = None if before is None else _status(before)
        changed = self.mark if was is not None else ""
        if (
            was is not None
            and before is not None
            and attributes == _attributes(before)
            and self._same(path, status, before, was)
        ):
            is_top = entry.endswith("/.")
            if stat.S_ISDIR(status.st_mode) and (is_top or os.listdir(entry)):
                return  # it is there for what it holds
            changed = SAME
        self.files.append((shown, described(status, self.owner) + changed))
        for name, value in (*self._fields(path, status, was), *attributes):
            self.details.append((shown, name, value))

    def _same(self, path: str, status: os.stat_result, before: str, was: os.stat_result) -> bool:
        """True if nothing changed, apart from the attributes."""
        if described(status, self.owner) != described(was, self.owner):
            return False
        if (status.st_mode, status.st_rdev) != (was.st_mode, was.st_rdev):
            return False
        if stat.S_ISDIR(status.st_mode):
            return True
        if status.st_size != was.st_size:
            return False
        if stat.S_ISREG(status.st_mode) and status.st_mtime_ns == was.st_mtime_ns:
            return True
        if stat.S_ISREG(status.st_mode) and self._time(status, was):
            return False
        return self._hash(path, status) == self._hash(before, was)

    def _fields(
        self, path: str, status: os.stat_result, was: os.stat_result | None
    ) -> Iterator[tuple[str, str]]:
        mode = status.st_mode
        yield KIND, _KINDS.get(stat.S_IFMT(mode), "something")
        if stat.S_ISREG(mode):
            yield SIZE, str(status.st_size)
            yield TIME, self._time(status, was)
            if content := self._hash(path, status):
                yield CONTENT, content
        elif stat.S_ISLNK(mode):
            yield CONTENT, os.readlink(path)
        elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            yield CONTENT, f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"

    def _time(self, status: os.stat_result, was: os.stat_result | None) -> str:
        """The time that it had before, or that somebody gave it; empty if it was just written."""
        kept = was is not None and status.st_mtime_ns == was.st_mtime_ns
        written = not kept and self.began - 1 <= status.st_mtime <= time.time() + 60
        return "" if written else str(int(status.st_mtime))

    def _hash(self, path: str, status: os.stat_result) -> str | None:
        """None: it cannot be read, or too much was read before."""
        if stat.S_ISLNK(status.st_mode):
            return os.readlink(path)
        if not stat.S_ISREG(status.st_mode):
            return None
        size = status.st_size if status.st_size <= _LARGEST else 2 * _PART
        if size > self._content:
            return None
        self._content -= size
        digest = blake2b(digest_size=12)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        with open(fd, "rb", buffering=0) as file:
            if size <= _SHORT:
                digest.update(_OWN_CAPS.sub(b"", file.read(size)))
                return digest.hexdigest()
            for offset in (0,) if size == status.st_size else (0, status.st_size - _PART):
                file.seek(offset)
                left = size if size == status.st_size else _PART
                while left > 0 and (part := file.read(min(left, _PART))):
                    digest.update(part)
                    left -= len(part)
        return digest.hexdigest()


def left_by(
    places: Sequence[OwnFolder], work: Path, began: float, gone: Iterable[str] = ()
) -> Left:
    """All that a trial left in its places: first in its working directory, from where paths in it
    are named."""
    left, own = Left(began, gone=frozenset(gone)), os.path.realpath(work)
    for where in sorted(places, key=lambda one: not f"{own}/".startswith(f"{one.name}/")):
        within = where.name == own or where.name.startswith(f"{own}/")
        name = where.name[len(own) + 1 :] if within else where.name
        before = None if where.below is None else where.before
        left.look(path_of(where.changed), name, where.name, before)
    left.files = [(_from(path, own), text) for path, text in left.files]
    left.details = [(_from(path, own), name, value) for path, name, value in left.details]
    return left


def left_by_containers(folders: Sequence[WrittenFolder], began: float) -> Left:
    """All that the containers of a trial left."""
    left = Left(began, mounts=frozenset(folder.name for folder in folders))
    for folder in folders:
        if not folder.changed:
            left.uncompared.append(folder.name)
            continue
        left.owner, left.mark = folder.owners.of, folder.mark
        before = folder.before if folder.layers else None
        if os.path.isfile(folder.changed):
            left.add(folder.name, folder.seen, folder.changed, None)
        else:
            left.look(folder.changed, folder.name, folder.seen, before)
    return left


def _from(path: str, folder: str) -> str:
    if path == folder:
        return "."
    return path[len(folder) + 1 :] if path.startswith(f"{folder}/") else path


def _joined(folder: str, path: str) -> str:
    return f"{folder}/{path or '.'}"  # an open folder is a link in /proc


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _attributes(path: str) -> list[tuple[str, str]]:
    """Names and values of the extended attributes that programs write."""
    attributes = []
    with suppress(OSError):
        for name in sorted(os.listxattr(path, follow_symlinks=False)):
            if not name.startswith(("trusted.overlay.", *_LABELS)):
                value = os.getxattr(path, name, follow_symlinks=False)
                attributes.append((f"attribute {name}", blake2b(value, digest_size=6).hexdigest()))
    return attributes
