"""The user's own file: read, patched, shown as a diff, written whole or not at all.

``plan`` touches nothing; ``Change.write`` touches the one file, if it is still what was read.
"""

import os
import re
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import Match, SequenceMatcher
from pathlib import Path

from capadvise.config.language import Language
from capadvise.config.patched import Patched
from capadvise.config.snippet import Snippet
from capadvise.model.errors import BadInput, CannotPatch
from capadvise.model.escape import printable
from capadvise.model.input_file import MAX_BYTES, content
from capadvise.report.save import folder_of

_CONTAINER_NAME = re.compile(r"^[ \t]*ContainerName[ \t]*=[ \t]*(\S+)[ \t]*$", re.MULTILINE)
_CONTEXT = 3
_MAX_CHANGES = 400
"""Above this many differing lines, the search for the fewest would take too long."""
Run = tuple[int, int, int]
"""(start in old, start in new, length) of lines that stay."""


@dataclass(frozen=True, slots=True)
class Change:
    """A file with its text before and after the patch."""

    path: Path
    """The path as the user named it; ``write`` follows a link."""
    before: bytes | None
    """None: there is no such file yet."""
    patched: Patched

    @property
    def empty(self) -> bool:
        """True if nothing has to change."""
        return self.before == self._after

    @property
    def _after(self) -> bytes:
        return self.patched.text.encode()

    def diff(self) -> str:
        """The change in the format of ``diff -u``, safe to print; empty if nothing changes."""
        old = (self.before or b"").decode().split("\n")
        new = self.patched.text.split("\n")
        name = printable(str(self.path))
        names = ("/dev/null" if self.before is None else name, name)
        return "".join(map(_shown, unified(_lines(old), _lines(new), names)))

    def edits(self) -> Iterator[tuple[int, int, str]]:
        """Yield (first line, line after, text instead) of each change, lines counted from 1."""
        old = (self.before or b"").decode().splitlines(keepends=True)
        new = self.patched.text.splitlines(keepends=True)
        for kind, a, b, c, d in _Least(old, new).get_opcodes():
            if kind != "equal":
                yield a + 1, b + 1, "".join(new[c:d])

    def write(self) -> None:
        """Replace the old text by the new one, and keep mode and owner. Raises CannotPatch if the
        file has changed since it was read, or cannot be written."""
        try:
            with folder_of(self.path):  # no link of another user's is followed
                _write(self.path.resolve(), self.before, self._after)
        except OSError as error:
            raise CannotPatch(f"cannot write {self.path}: {error.strerror}") from error


def plan(
    path: Path,
    language: Language,
    service: str | None,
    snippet: Snippet,
    was: Change | None = None,
) -> Change:
    """Plan a patch. ``was``: an earlier plan with another set; its file is not read again. Raises
    BadInput, with file and line, if the file or the service does not exist, and CannotPatch if
    more would change than intended."""
    may_be_new = language.drop_ins and path.parent.suffix == ".d"
    before = was.before if was else _read(path, new=may_be_new)
    try:
        text = (before or b"").decode()
        if language.service:
            _check_name(path, service, text)
        patched = language.patch(text, service, snippet)
        left = _refused(language, path, patched.text) - _refused(language, path, text)
        for what, why in sorted(left):
            raise CannotPatch(f"the patch would leave {what}, which is refused then. {why}")
        return Change(path, before, patched)
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8") from error
    except (BadInput, CannotPatch) as error:
        raise type(error)(f"{path}: {error}", hint=error.hint) from error


def _refused(language: Language, path: Path, text: str) -> set[tuple[str, str]]:
    """(thing, reason) of all that its consumer refuses of a file in this place."""
    services = language.read(text, str(path)) if text else ()
    return {each for declared in services for each in declared.refused}


def _read(path: Path, *, new: bool) -> bytes | None:
    try:
        return content(path, MAX_BYTES, pipes=False)
    except FileNotFoundError as error:
        if new and path.suffix == ".conf":
            return None
        hint = "name a new drop-in UNIT.d/NAME.conf" if new else None
        raise BadInput(f"{path}: {error.strerror}", hint=hint) from error
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error


def _check_name(path: Path, service: str | None, text: str) -> None:
    """Check that a unit file, or the unit of its folder of drop-ins, is the named service. A
    quadlet's container can have another name than its file."""
    unit = path.parent.name.removesuffix(".d") if path.parent.suffix == ".d" else path.name
    called = set(_CONTAINER_NAME.findall(text))
    if service not in (None, unit, unit.rpartition(".")[0], *called):
        raise BadInput(f"it has no service {service!r}", hint=f"it has: {unit}")


def _lines(parts: list[str]) -> list[str]:
    """Add the line breaks; the last line has none if the text lacks it."""
    return [f"{part}\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _shown(line: str) -> str:
    """Escape a line, but keep what a diff needs: tabs, and the end of a Windows line."""
    end = "\r\n" if line.endswith("\r\n") else "\n"
    body = line.removesuffix(end)
    shown = "\t".join(map(printable, body.split("\t")))
    return shown + end if line.endswith("\n") else f"{shown}\n\\ No newline at end of file\n"


# ------------------------------------------------------------------------------ writing


def _write(path: Path, before: bytes | None, after: bytes) -> None:
    """Write a new file beside the old one and rename it. Raises OSError and CannotPatch."""
    if before is None:
        path.parent.mkdir(exist_ok=True)
    elif (
        not os.access(path, os.W_OK) or not path.stat().st_mode & 0o222
    ):  # root may, and should not
        raise CannotPatch(f"{path} is read-only", hint="chmod u+w it, if it is yours to change")
    fd, temporary = tempfile.mkstemp(prefix=".capadvise-", dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(after)
            if before is None:
                os.fchmod(fd, 0o644)  # as unit files are
            else:
                _take_after(fd, path)
            file.flush()
            os.fsync(fd)
        _check_same(path, before)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _take_after(fd: int, path: Path) -> None:
    """Copy owner, mode and extended attributes (labels, access lists) of the old file."""
    was = path.stat()
    mine = os.fstat(fd)
    if (was.st_uid, was.st_gid) != (mine.st_uid, mine.st_gid):
        os.fchown(fd, was.st_uid, was.st_gid)
    os.fchmod(fd, stat.S_IMODE(was.st_mode))
    with suppress(OSError):  # not every file system has them, and some are the kernel's own
        for name in os.listxattr(path):
            os.setxattr(fd, name, os.getxattr(path, name))


def _check_same(path: Path, before: bytes | None) -> None:
    try:
        same = content(path, MAX_BYTES) == before
    except FileNotFoundError:
        same = before is None
    if not same:
        raise CannotPatch(
            f"{path} has changed since it was read", hint="nothing was written: try again"
        )


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def unified(old: Sequence[str], new: Sequence[str], names: tuple[str, str]) -> Iterator[str]:
    """Yield the lines of ``diff -u``, headings first; none if nothing differs. Each line keeps its
    end."""
    headings = [f"--- {names[0]}\n", f"+++ {names[1]}\n"]
    for hunk in _Least(old, new).get_grouped_opcodes(_CONTEXT):
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
    """A matcher that finds the fewest changes; difflib groups them.

    ``difflib`` looks for the longest run that is the same anywhere: in a file of many similar
    documents it shows changes where there are none, or takes minutes. Myers' algorithm (An O(ND)
    Difference Algorithm) finds the lines that stay.
    """

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
    for changes in range(min(len(old) + len(new), _MAX_CHANGES) + 1):
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
