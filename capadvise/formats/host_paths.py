"""Which files and devices of the host give a container power over it, by their paths."""

from __future__ import annotations

import re
from collections.abc import Iterator
from posixpath import join, normpath

from capadvise.formats import host_tables as tables
from capadvise.formats.declared import Exposure, ExposureAt

_DEFAULT = r"\$\{\w+:?[-+]([^{}]*)\}"
_VARIABLE = r"\$(?:\w+|\{\w+[^}]*\})"
_HOME = r"^(?:~|\$HOME|\$\{HOME\})(?=/|$)"
_GLOB = r"/[^/]*[*?\[].*"
_FAR = r"(?:\./)?(?:\.\./){2,}\.\.(?:/|$)"


def expand(path: str) -> str:
    """A path with the defaults of its variables, without detours. One that goes far up from where
    its file lies is taken to begin at the root."""
    path = re.sub(_HOME, "/home/~", expand_variables(path), count=1)
    if re.match(_FAR, path):
        path = "/" + normpath(path).replace("../", "").removesuffix("..")
    path = re.sub(_GLOB, "", path) or "/" if path.startswith("/") else path
    return "/" + normpath(path).lstrip("/") if path.startswith("/") else path


def expand_variables(text: str) -> str:
    """With the defaults that compose has for variables that are not set."""
    while (expanded := re.sub(_DEFAULT, r"\1", text)) != text:
        text = expanded
    return text


def has_variable(text: str) -> bool:
    """Whether something is left that only the environment settles."""
    left = re.sub(_HOME, "", expand_variables(text.replace("$$", "")))
    return re.search(_VARIABLE, left) is not None


def below(folder: str, path: str) -> str:
    """A relative path that leaves the folder it is relative to, as one from the root."""
    leaves = normpath(path).startswith("..") if path.startswith(".") else False
    return normpath(join(folder, path)) if folder and leaves else path


def mounted(path: str, line: int, *, writable: bool) -> Iterator[ExposureAt]:
    """What a file or a folder of the host exposes that is mounted."""
    place = expand(path)
    if re.fullmatch(tables.SOCKET, place):
        yield ExposureAt(Exposure.CONTROL_SOCKET, path, line)
    elif re.fullmatch(tables.BUS, place):
        yield ExposureAt(Exposure.SYSTEM_BUS, path, line)
    elif place == "/" or re.fullmatch(tables.SOCKET_FOLDER, place):
        yield ExposureAt(Exposure.CONTROL_SOCKET, f"{path}, which holds control sockets", line)
        yield from _folder(place, path, line, writable=True) if place == "/" and writable else ()
    elif re.fullmatch(tables.DISK, place):
        yield ExposureAt(Exposure.DISK, path, line)
    else:
        yield from _folder(place, path, line, writable=writable)


def _folder(place: str, path: str, line: int, *, writable: bool) -> Iterator[ExposureAt]:
    of_system = place == "/" or place in tables.SYSTEM or _below(place, tables.TREES)
    if not of_system and not re.fullmatch(tables.HOME, place):
        return
    if writable:
        yield ExposureAt(Exposure.SYSTEM_FOLDER, path, line)
    elif _below(place, tables.KERNEL):
        yield ExposureAt(Exposure.HOST_KERNEL, path, line)
    elif not _below(place, tables.PUBLIC):
        yield ExposureAt(Exposure.READABLE_FOLDER, path, line)


def device(path: str, line: int) -> ExposureAt:
    """What a device of the host exposes."""
    disk = re.fullmatch(tables.DISK, expand(path))
    return ExposureAt(Exposure.DISK if disk else Exposure.DEVICE, path, line)


def device_rule(rule: str, line: int) -> Iterator[ExposureAt]:
    """What a rule of the devices cgroup exposes (``c 13:* rmw``)."""
    kind, number, *_ = (*rule.split(), "", "")
    major, _, minor = number.partition(":")
    if is_disk(kind, major, minor):
        yield ExposureAt(Exposure.DISK, f"device rule {rule}", line)


def is_disk(kind: str, major: str, minor: str) -> bool:
    """Whether a device is a disk or the memory, by its numbers; ``*`` and nothing are all."""
    if kind in ("a", "b") or major in ("*", ""):
        return True
    memory = major == "1" and minor in (*tables.MEMORY_MINORS, "*", "")
    return memory or major in tables.DISK_MAJORS


def _below(place: str, folders: tuple[str, ...]) -> bool:
    return any(place == folder or place.startswith(f"{folder}/") for folder in folders)
