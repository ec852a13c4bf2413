"""Files of an image that were given another owner or mode while a container ran.

overlayfs copies such a file up, so that the container's own layer has what it became and the
image's layers what it was. All of it is hostile: nothing is followed, nothing is read.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from capadvise.judgement.differences import ORIGINAL
from capadvise.kernel import procfs, user_namespaces
from capadvise.model.recording import FileChange, ImageFile
from capadvise.targets.client.container import Container

_MOST_LOOKED_AT = 20_000
_MOST_KEPT = 20
_MOST_LINKS = 40  # MAXSYMLINKS of linux/namei.h


@dataclass(frozen=True, slots=True)
class _Found:
    status: os.stat_result
    layer: int
    """From 1 at the bottom of the image."""
    place: Path


def changed_files(container: Container, pid: int) -> tuple[ImageFile, ...]:
    """The files changed since the container was made; none if it is gone, or if its engine does
    not keep it in an overlay. ``pid``: one of its processes, for its user namespace."""
    upper, layers = container.upper, layers_of(container)
    if upper is None or not layers or not os.path.isdir(upper):
        return ()
    owners = MappedOwners(container, pid)
    if not owners.known and os.lstat(upper).st_uid != os.geteuid():
        return ()  # in a user namespace that has ended: nobody can say what it calls them
    files = []
    for path in _below(Path(upper)):
        if change := _compare(Path(upper), path, layers, owners):
            files.append(change)
            if len(files) == _MOST_KEPT:
                break
    return tuple(files)


def layers_of(container: Container) -> list[Path]:
    """The layers of its image, the topmost first."""
    lower = ((container.raw.get("GraphDriver") or {}).get("Data") or {}).get("LowerDir")
    # docker puts a layer of its own on top of the image's, with /etc/hosts and similar files
    paths = lower.split(":") if isinstance(lower, str) else ()
    return [Path(path) for path in paths if not path.endswith("-init/diff")]


class MappedOwners:
    """Ids on the disk, as the container calls them."""

    def __init__(self, container: Container, pid: int) -> None:
        """``pid``: one of its processes, if there is one."""
        told = (container.raw.get("HostConfig") or {}).get("IDMappings") or {}  # podman's
        self._maps = [
            user_namespaces.inverse(
                user_namespaces.parse_map(_map(told.get(f"{kind.title()}Map"), pid, kind))
            )
            for kind in ("uid", "gid")
        ]

    @property
    def known(self) -> bool:
        """True if there was a map to read."""
        return any(self._maps)

    def ids(self, status: os.stat_result) -> tuple[int, int]:
        """Its user and group. Ids that the map lacks belong to an image whose layers are kept
        unchanged and mounted with mapped ids."""
        uid, gid = (
            number if (mapped := user_namespaces.translated(number, rows)) is None else mapped
            for number, rows in zip((status.st_uid, status.st_gid), self._maps, strict=True)
        )
        return uid, gid

    def of(self, status: os.stat_result) -> str:
        """``UID:GID``."""
        return "{}:{}".format(*self.ids(status))


@dataclass(frozen=True, slots=True)
class WrittenFolder:
    """A folder that one trial's containers wrote to."""

    name: str
    """Its path in the container."""
    changed: str
    """The folder with the changed entries; empty: nobody knows these."""
    seen: str
    """The folder in which they are read."""
    owners: MappedOwners
    layers: Sequence[Path] = ()
    """The folders with what was there before, the topmost first; none: ``changed`` has it all."""
    mark: str = ORIGINAL
    """The end of the text for a changed file that was there before."""

    def before(self, path: str) -> str | None:
        """The path of what was there before; None: nothing."""
        original = _in_image(self.layers, path)
        if original is None or is_whiteout(original.status):
            return None
        return str(original.place)


def is_whiteout(status: os.stat_result) -> bool:
    """True if overlayfs notes by it that something was removed."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _map(given: object, pid: int, kind: str) -> str:
    """The map in the spelling of /proc: the engine's, or that of a process."""
    if isinstance(given, list):
        return "\n".join(str(row).replace(":", " ") for row in given)
    try:
        return (procfs.PROC / str(pid) / f"{kind}_map").read_text() if pid else ""
    except OSError:
        return ""


def _below(upper: Path) -> Iterator[str]:
    looked_at = 0
    for folder, folders, files in os.walk(upper):
        for name in (*sorted(folders), *sorted(files)):
            looked_at += 1
            if looked_at > _MOST_LOOKED_AT:
                return
            yield os.path.relpath(os.path.join(folder, name), upper)


def _compare(
    upper: Path, path: str, layers: Sequence[Path], owners: MappedOwners
) -> ImageFile | None:
    now = status_below(upper, path)
    if now is None or is_whiteout(now):
        return None  # deleted
    before = _in_image(layers, path)
    if before is None:
        return _made_where_it_may_not(now, path, layers, owners)
    was, became = owners.of(before.status), owners.of(now)
    if was != became:
        return ImageFile(f"/{path}", before.layer, FileChange.OWNER, was, became)
    modes = [stat.S_IMODE(status.st_mode) for status in (before.status, now)]
    if modes[0] != modes[1]:
        return ImageFile(f"/{path}", before.layer, FileChange.MODE, was, f"{modes[1]:04o}")
    return None


def _made_where_it_may_not(
    made: os.stat_result, path: str, layers: Sequence[Path], owners: MappedOwners
) -> ImageFile | None:
    """Something new in a folder of the image that lets only its own user write."""
    parent = os.path.dirname(path)
    folder = _in_image(layers, parent)
    if folder is None or folder.status.st_mode & 0o022:
        return None
    if owners.ids(folder.status)[0] == owners.ids(made)[0]:
        return None
    return ImageFile(
        f"/{parent}", folder.layer, FileChange.FOLDER, owners.of(folder.status), owners.of(made)
    )


def _in_image(layers: Sequence[Path], path: str) -> _Found | None:
    for number, layer in zip(range(len(layers), 0, -1), layers, strict=True):
        if (status := status_below(layer, path)) is not None:
            return _Found(status, number, layer / path)
    return None


def file_in_image(layers: Sequence[Path], path: str) -> tuple[str, Path] | None:
    """The path of a file in an image without links, and the file on this machine; None if it is not
    there."""
    wanted = os.path.normpath(f"/{path.lstrip('/')}")
    for _ in range(_MOST_LINKS):
        parts, entry = Path(wanted).parts[1:], None
        for number in range(1, len(parts) + 1):
            entry = _in_image(layers, "/".join(parts[:number]))
            if entry is None or is_whiteout(entry.status):
                return None
            if stat.S_ISLNK(entry.status.st_mode):
                rest = os.path.join(os.readlink(entry.place), *parts[number:])
                wanted = os.path.normpath(os.path.join("/", *parts[: number - 1], rest))
                break
        else:
            return (wanted, entry.place) if entry else None
    return None


def status_below(root: Path, path: str) -> os.stat_result | None:
    """The status of a file below ``root``; follows no link that leads out of it."""
    place = root
    status = None
    try:
        for part in Path(path).parts:
            if status is not None and not stat.S_ISDIR(status.st_mode):
                return None
            place = place / part
            status = os.lstat(place)
    except OSError:
        return None
    return status if status is not None else os.lstat(root)
