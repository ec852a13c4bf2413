"""Data of the user that a container writes to, and its replacement in trials and recordings.

A trial begins with a fresh volume and an empty folder, as on a new host, or with the content from
before the recording. Only single files are copied: an overlay is mounted over a folder, and the
container gets the overlay. A recording beside running containers gets private copies.
"""

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from capadvise.judgement.user_namespace import USUAL_IDS
from capadvise.kernel import folders, libc
from capadvise.kernel.mounting import LARGEST_COPY_KB, copy_folder, put_overlay, same_root
from capadvise.kernel.posture.mounts import mount_points
from capadvise.model.errors import BadInput, CannotObserve
from capadvise.targets.client.client import Client, EngineError
from capadvise.targets.client.container import Container
from capadvise.targets.client.invocation import Invocation
from capadvise.targets.containers import project, volumes
from capadvise.targets.containers.registry import ENGINES
from capadvise.targets.image.ownership import status_below

FRESH, VOLUMES, NEW_VOLUMES, COPY = "fresh", "volumes", "new-volumes", "copy"
UPGRADE = "upgrade"
"""The data with which a trial begins: new volumes and empty folders; new volumes in place of the
folders, too; new volumes and the user's folders; both with their old content; those that
another image has filled."""
Before = Mapping[str, str]
"""``bind:PATH`` or ``volume:NAME`` → the copy from before the recording, or empty if there were too
many entries to copy: trials then begin with the later content."""


@dataclass(frozen=True, slots=True)
class DataSource:
    """A folder of the host or a named volume."""

    key: str
    place: str
    """The folder that it is on this machine."""
    image: str = ""
    target: str = ""
    """The image's folder that a folder of the host covers."""

    @property
    def full(self) -> bool:
        """True if there is something in it."""
        try:
            return bool(os.listdir(self.place))
        except OSError:
            return False


def sources(invocation: Invocation, client: Client, service: str | None = None) -> list[DataSource]:
    """The existing folders and volumes that containers write to: for a project, those of one
    service or of all."""
    recorder = Noted(client)
    if invocation.verb == "run":
        recorder.image = invocation.image or ""
        volumes.of_options(invocation.options, recorder)
    else:
        resolved = project.config(invocation)
        recorder.project = resolved
        for name, one in resolved["services"].items():
            if service in (None, name):
                recorder.image = one.get("image") or f"{resolved['name']}-{name}"
                volumes.of_service(one, recorder)
    return recorder.sources


def keep_before(invocation: Invocation, client: Client, folder: Path) -> dict[str, str]:
    """Keep what containers are about to write to."""
    kept = {}
    for number, source in enumerate(sources(invocation, client)):
        store = folder / f"before{number}"
        kept[source.key] = str(store) if folders.keep(source.place, store) else ""
    return kept


def _was_full(kept: Before | None, key: str) -> bool:
    """True if there was something in it before the recording; without ``kept``, nothing is known
    about that time, and the present content counts."""
    if kept is None:
        return True
    store = kept.get(key)
    return store is not None and (store == "" or folders.was_full(Path(store)))


def choices(data: Iterable[DataSource], kept: Before | None) -> list[str]:
    """The different data with which trials can begin, without files that the recording made."""
    there = [source for source in data if source.full and _was_full(kept, source.key)]
    if not there:
        return [FRESH]
    kinds = {source.key.partition(":")[0] for source in there}
    return [FRESH, *([NEW_VOLUMES] if len(kinds) == 2 else []), COPY]


class Noted:
    """Notes the data that containers write to, and changes nothing."""

    def __init__(self, client: Client) -> None:
        self.client, self.image = client, ""
        self.project: Mapping[str, Any] = {}
        self.sources: list[DataSource] = []
        """Those that exist."""
        self.names: list[str] = []

    def bind(self, source: str, target: str) -> str:
        path = _absolute(source)
        self.names.append(path)
        if os.path.isdir(path):
            self.sources.append(DataSource(f"bind:{path}", path, self.image, target))
        return source

    def volume(self, name: str) -> str | None:
        real = real_name(self.project, name)
        self.names.append(real)
        place = mountpoint(self.client, real)
        if place is not None:
            self.sources.append(DataSource(f"volume:{real}", place))
        return None


class TrialData:
    """The data of one trial: a ``volumes.Data``."""

    def __init__(
        self,
        client: Client,
        folder: Path,
        choice: str,
        kept: Before | None,
        first_id: int = 0,
    ) -> None:
        """``first_id``: the host's id of the container's root."""
        self._client, self._folder, self._choice, self._kept = client, folder, choice, kept
        self._first_id = first_id
        self.project: Mapping[str, Any] = {}
        self.made: list[Path] = []
        self.overlays: dict[Path, tuple[Path, Path]] = {}
        """Overlay → its upper layer, and the folder below."""
        self.originals: dict[Path, Path] = {}
        """Copy of a folder → what it is a copy of, where an overlay cannot be had."""

    def close(self) -> None:
        """Remove the overlays: if our parent is gone, nobody else would."""
        for target in reversed(mount_points(self._folder)):
            with suppress(OSError):
                libc.unmount(target)

    def bind(self, source: str, _: str) -> str | None:
        """Raises BadInput and CannotCover if the data is too large."""
        path = _absolute(source)
        if self._choice == VOLUMES and (os.path.isdir(path) or not os.path.lexists(path)):
            return None
        try:
            mode = os.stat(path).st_mode
        except OSError:  # the engine makes it, a folder
            return str(self._shifted(self._new()))
        if stat.S_ISREG(mode):
            return str(self._file(path))
        if not stat.S_ISDIR(mode):
            return path  # a socket or a device
        key = f"bind:{path}"
        if self._kept is not None and key not in self._kept:
            return str(self._shifted(self._new()))  # the engine has made it for the recording
        empty = self._choice in (FRESH, UPGRADE) or not _was_full(self._kept, key)
        return str(self._shifted(self._emptied(path, key) if empty else self._seen(path, key)))

    def volume(self, name: str) -> str | None:
        """A folder that replaces the volume; None: a new volume."""
        real = real_name(self.project, name)
        key = f"volume:{real}"
        place = mountpoint(self._client, real) if self._choice == COPY else None
        if place is None or not os.listdir(place) or not _was_full(self._kept, key):
            return None
        return str(self._shifted(self._seen(place, key)))

    def of_old_image(self, filled: Mapping[str, str]) -> list[dict[str, str]]:
        """The mounts of the data that an old image has left: path in the container → folder."""
        return [
            {"type": "bind", "source": str(self._shifted(self._seen(place, ""))), "target": target}
            for target, place in (filled if self._choice == UPGRADE else {}).items()
        ]

    def _shifted(self, folder: Path) -> Path:
        if self._first_id:
            shift(folder, self._first_id)
        return folder

    def _new(self) -> Path:
        folder = self._folder / f"volume{len(self.made)}"
        folder.mkdir()
        folder.chmod(0o755)
        self.made.append(folder)
        return folder

    def _emptied(self, path: str, key: str) -> Path:
        folder = self._new()
        with _opened(path) as fd:
            same_root(fd, folder)
        if store := (self._kept or {}).get(key):  # the recording may have given it to another user
            folders.restore_root(str(folder), Path(store))
        return folder

    def _file(self, path: str) -> Path:
        if os.stat(path).st_size > LARGEST_COPY_KB << 10:
            raise BadInput(
                f"{path} has more than {LARGEST_COPY_KB >> 10} MB: too large for trials to copy",
                hint="let trials write to it with --reuse-volumes, or mount it read-only",
            )
        copy = self._folder / f"volume{len(self.made)}"
        shutil.copy2(path, copy)
        status = os.stat(path)
        os.chown(copy, status.st_uid, status.st_gid)
        if self._first_id:
            shift(copy, self._first_id)
        self.made.append(copy)
        return copy

    def _seen(self, path: str, key: str) -> Path:
        """The folder as it is, or as it was kept."""
        folder = self._new()
        layer = self._folder / f"layer{len(self.made)}"
        with _opened(path) as fd:
            overlaid = _sees_our_mounts(self._client) and put_overlay(fd, layer, str(folder))
            if overlaid:
                self.overlays[folder] = layer / "upper", Path(path)
            else:
                shutil.rmtree(folder)
                copy_folder(fd, folder, path)
                self.originals[folder] = Path(path)
        store = (self._kept or {}).get(key)
        if store:
            folders.restore(str(folder), Path(store))
        return folder


def shift(path: Path, first: int) -> None:
    """Give a trial's data to the mapped ids, as an idmapped mount shows it, if they are mapped."""
    inside = (
        os.path.join(at, name)
        for at, folders, files in os.walk(path)
        for name in (*folders, *files)
    )
    for place in (str(path), *inside):
        status = os.lstat(place)
        uid, gid = (one + first * (one < USUAL_IDS) for one in (status.st_uid, status.st_gid))
        os.lchown(place, uid, gid)


@contextmanager
def _opened(path: str) -> Iterator[int]:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _absolute(source: str) -> str:
    return os.path.abspath(os.path.expanduser(source))


def real_name(resolved: Mapping[str, Any], name: str) -> str:
    """The engine's name for a volume of a resolved project."""
    declared = (resolved.get("volumes") or {}).get(name) or {}
    return str(declared.get("name") or name)


def mountpoint(client: Client, name: str) -> str | None:
    """The folder of a volume on this machine; None if it is not there yet."""
    with suppress(EngineError):
        place = client.place_of(name)
        return place if os.path.isdir(place) else None
    return None


def _sees_our_mounts(client: Client) -> bool:
    """True if the engine sees our mounts, too. Its processes count, not their threads: one that
    unpacks an archive has a mount namespace of its own (moby, pkg/chrootarchive)."""
    own = os.readlink("/proc/self/ns/mnt")
    for pid in ENGINES[client.engine].daemons(client):
        with suppress(OSError):
            if os.readlink(f"/proc/{pid}/ns/mnt") != own:
                return False
    return True


_SPARE = 1 << 30
"""A copy leaves this many bytes free."""


_WAY_OUT = "--replace stops it, records on its own data, and starts it again"


class DataCopies:
    """The data of a recording beside running containers: a ``volumes.Data``. The caller removes the
    folder with the copies."""

    def __init__(self, client: Client, folder: Path, resolved: Mapping[str, Any]) -> None:
        """``resolved``: the compose project, empty without one."""
        self._client, self._folder, self._project = client, folder, resolved
        self._copies: dict[str, str] = {}

    @property
    def originals(self) -> dict[str, str]:
        """Copy → what it is a copy of."""
        return {copy: path for path, copy in self._copies.items()}

    def bind(self, source: str, _: str = "") -> str:
        """Copy a folder or a file. A socket or a device cannot be copied, and stays.

        Raises BadInput if there is no room, CannotObserve if it cannot be read.
        """
        path = _absolute(source)
        if path not in self._copies:  # services that share it share the copy
            self._copies[path] = self._copy_of(path)
        return self._copies[path]

    def volume(self, name: str) -> str | None:
        """Copy a named volume; None if it is not there yet."""
        place = mountpoint(self._client, real_name(self._project, name))
        return None if place is None else self.bind(place)

    def _copy_of(self, path: str) -> str:
        try:
            mode = os.stat(path).st_mode
        except OSError:  # the engine makes it, a folder
            mode = stat.S_IFDIR
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            return path
        copy = self._folder / f"volume{len(self._copies)}"
        if os.path.exists(path):
            self._require_room(path)
            self._copy(path, copy, is_folder=stat.S_ISDIR(mode))
        else:
            copy.mkdir()
        return str(copy)

    def _require_room(self, path: str) -> None:
        if os.path.realpath(path) in ("/", "/usr", "/var", "/home", "/proc", "/sys", "/dev"):
            raise BadInput(f"{path} is not copied: it belongs to the machine itself", hint=_WAY_OUT)
        done = subprocess.run(["du", "-sB1", path], capture_output=True, text=True)
        size = int((done.stdout.split() or ["0"])[0])
        free = shutil.disk_usage(self._folder).free
        if size > free - _SPARE:
            raise BadInput(
                f"{path} has {_gigabytes(size)}, and {self._folder.parent} has room for "
                f"{_gigabytes(max(0, free - _SPARE))}: too little for a copy",
                hint=_WAY_OUT,
            )

    def _copy(self, path: str, copy: Path, *, is_folder: bool) -> None:
        """Copy by reflink if possible. A running program adds and removes files during that."""
        options = ["--archive", "--reflink=auto", "--no-target-directory"]
        words = ["cp", *options, "--", path, str(copy)]
        done = subprocess.run(words, capture_output=True, text=True, errors="backslashreplace")
        if "No space left" in done.stderr or not (copy.is_dir() if is_folder else copy.exists()):
            raise CannotObserve(f"{path} cannot be copied: {done.stderr.strip()[-200:]}")


_FILLED = "filled.json"


def keep_filled(client: Client, container: Container, folder: Path, *, give_away: bool) -> None:
    """Copy what a container has left on its volumes and folders. ``give_away``: only if some of it
    belongs to another user than root, and to yet another one, as an older image may have had it.
    Raises BadInput if there is no room."""
    copies = DataCopies(client, folder, {})
    kept = {
        mount.destination: copies.bind(mount.source)
        for mount in container.mounts
        if mount.writable and mount.kind in ("bind", "volume") and os.path.isdir(mount.source)
    }
    if give_away and not any([_given_away(place) for place in kept.values()]):
        kept = {}
    (folder / _FILLED).write_text(json.dumps(kept))


def filled(folder: Path) -> dict[str, str]:
    """The kept copies, by their path in the container."""
    with suppress(OSError):
        kept: dict[str, str] = json.loads((folder / _FILLED).read_text())
        return kept
    return {}


def _given_away(place: str) -> bool:
    """False if nothing in it belongs to another user than root. Modes stay: an older image of the
    same program has left the same ones."""
    owned = [
        (path, status) for path, _ in folders.below(place) if (status := os.lstat(path)).st_uid
    ]
    for path, status in owned:
        os.lchown(path, status.st_uid + _OTHER, status.st_gid + _OTHER)
    return bool(owned)


_OTHER = 20_000
"""Ids from here on belong to nobody in an image."""


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


# ---------- what an image has where a folder is mounted: a new volume would begin with it

_MOST_LOOKED_AT = 5_000
"""Entries of one folder of an image."""


def hides_files_of_others(client: Client, source: DataSource) -> bool:
    """Whether the folder covers files of the image that belong to another user than root: then a
    start on a new volume can need what one on a folder of the host does not."""
    layers = client.layers_of(source.image) if source.target else []
    return any(_is_of_others(layer, source.target.strip("/")) for layer in layers)


def _is_of_others(layer: Path, path: str) -> bool:
    if not _entries(layer, path):
        return False
    root = os.lstat(layer).st_uid  # below userns-remap, its root's
    below = (
        os.path.join(place, name)
        for place, folders, files in os.walk(layer / path)
        for name in (*folders, *files)
    )
    for entry in islice(below, _MOST_LOOKED_AT):
        with suppress(OSError):
            if os.lstat(entry).st_uid != root:
                return True
    return False


def hidden_content(client: Client, data: Iterable[DataSource]) -> Iterator[str]:
    """A sentence for each folder that covers files of the image."""
    for source in data:
        if source.target and any(  # what a higher layer removes is rare
            _entries(layer, source.target.strip("/")) for layer in client.layers_of(source.image)
        ):
            yield (
                f"the image has files in {source.target}, and a new volume would begin with them; "
                "the folder that is mounted there does not: with a volume, more can be needed"
            )


def _entries(layer: Path, path: str) -> list[str]:
    with suppress(OSError):
        status = status_below(layer, path)
        if status is not None and stat.S_ISDIR(status.st_mode):
            return os.listdir(layer / path)
    return []
