"""The files and devices of the host that give a container power over it, by their paths."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from posixpath import join, normpath

from capadvise.catalog import default
from capadvise.config.declared import Exposure, ExposureAt

SOCKET = (
    r"(?:.*[/\\])?(?:(?:docker|podman|containerd|crio|cri-?dockerd|dockershim|buildkitd"
    r"|balena-engine)[\w.-]*\.sock[\w.]*|(?:lxd|incus)/unix\.socket|libvirt-sock|kubelet\.sock"
    r"|snapd\.socket|/run/systemd/private|(?:docker|podman)_engine)"
)
"""Sockets (and pipes of Windows) over which an engine or the machine is controlled."""
SOCKET_FOLDER = (
    r"(?:/var)?/run(?:/(?:docker|podman|containerd|crio|buildkit|libvirt|dockershim|cri-dockerd"
    r"|balena-engine|lxd|incus|systemd|k3s|k3s/containerd|docker/containerd"
    r"|user(?:/\d+(?:/(?:docker|podman|containerd\S*))?)?))?"
    r"|/var/lib/(?:lxd|incus)|/var/snap/lxd/common/lxd"
)
"""Folders in which these usually lie."""
BUS = r"(?:/var)?/run/dbus(?:/system_bus_socket)?"
HOME = (
    r"(?:/root|/home/[^/]+)(?:/\.(?:ssh|gnupg|aws|azure|kube|docker|netrc|bashrc|bash_profile"
    r"|profile|zshrc|config|config/(?:systemd|autostart|gcloud)|local/bin)(?:/.*)?)?"
)
"""A home, and what in it is a secret or is run by a login."""
KERNEL = ("/proc", "/sys")
DISK = (
    r"/dev(?:/(?:mem|kmem|port|(?:mapper|disk|block|bsg|cpu|zvol|drbd|mtd)(?:/.*)?"
    r"|(?:sd|hd|vd|xvd)[a-z]+\d*|nvme\d+(?:n\d+(?:p\d+)?)?|mmcblk\d+\w*|root|snapshot|zfs"
    r"|(?:dm-|md|loop|sg|nbd|rbd|zd|mtd|mtdblock|pmem|drbd|bcache|ublkb|ram)\d+(?:p\d+)?"
    r"|loop-control|btrfs-control))?"
)
"""Disks as a whole or in parts, the memory, and devices that give either."""
DISK_MAJORS = ("21", "90", "202")
"""Character devices that give a disk or the processor: SCSI and MTD as such, model-specific
registers."""
MEMORY_MINORS = ("1", "2", "4")
"""/dev/mem, /dev/kmem and /dev/port, of major 1."""


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
    """True if only the environment settles a part of it."""
    left = re.sub(_HOME, "", expand_variables(text.replace("$$", "")))
    return re.search(_VARIABLE, left) is not None


def below(folder: str, path: str) -> str:
    """A relative path that leaves the folder it is relative to, as one from the root."""
    leaves = normpath(path).startswith("..") if path.startswith(".") else False
    return normpath(join(folder, path)) if folder and leaves else path


def mounted(path: str, line: int, *, writable: bool) -> Iterator[ExposureAt]:
    """The exposures of a mounted file or folder of the host."""
    place = expand(path)
    if re.fullmatch(SOCKET, place):
        yield ExposureAt(Exposure.CONTROL_SOCKET, path, line)
    elif re.fullmatch(BUS, place):
        yield ExposureAt(Exposure.SYSTEM_BUS, path, line)
    elif place == "/" or re.fullmatch(SOCKET_FOLDER, place):
        yield ExposureAt(Exposure.CONTROL_SOCKET, f"{path}, which holds control sockets", line)
        yield from _folder(place, path, line, writable=True) if place == "/" and writable else ()
    elif re.fullmatch(DISK, place):
        yield ExposureAt(Exposure.DISK, path, line)
    else:
        yield from _folder(place, path, line, writable=writable)


def _folder(place: str, path: str, line: int, *, writable: bool) -> Iterator[ExposureAt]:
    names = default().names
    of_system = place == "/" or place in names["host-folders"] or _below(place, names["host-trees"])
    if not of_system and not re.fullmatch(HOME, place):
        return
    if writable:
        yield ExposureAt(Exposure.SYSTEM_FOLDER, path, line)
    elif _below(place, KERNEL):
        yield ExposureAt(Exposure.HOST_KERNEL, path, line)
    elif not _below(place, names["public-files"]):
        yield ExposureAt(Exposure.READABLE_FOLDER, path, line)


def of_driver(device: str, options: str) -> list[str]:
    """The mounts of docker's local driver: a device, or the layers of an overlay."""
    layers = [part.partition("=")[2] for part in options.split(",")]
    return [path for each in (device, *layers) for path in each.split(":")]


def device(path: str, line: int) -> ExposureAt:
    """The exposure of a device of the host."""
    disk = re.fullmatch(DISK, expand(path))
    return ExposureAt(Exposure.DISK if disk else Exposure.DEVICE, path, line)


def device_rule(rule: str, line: int) -> Iterator[ExposureAt]:
    """The exposure of a rule of the devices cgroup (``c 13:* rmw``)."""
    kind, number, *_ = (*rule.split(), "", "")
    major, _, minor = number.partition(":")
    if is_disk(kind, major, minor):
        yield ExposureAt(Exposure.DISK, f"device rule {rule}", line)


def is_disk(kind: str, major: str, minor: str) -> bool:
    """True if the numbers are those of a disk or of the memory; ``*`` and nothing stand for all."""
    if kind in ("a", "b") or major in ("*", ""):
        return True
    memory = major == "1" and minor in (*MEMORY_MINORS, "*", "")
    return memory or major in DISK_MAJORS


def _below(place: str, folders: Iterable[str]) -> bool:
    return any(place == folder or place.startswith(f"{folder}/") for folder in folders)
