"""Which files and devices of the host give a container power over it, by their paths."""

from __future__ import annotations

import re
from collections.abc import Iterator
from posixpath import normpath

from capadvise.formats.declared import Exposure, ExposureAt

_SOCKET = re.compile(
    r"(?:.*/)?(?:(?:docker|podman|containerd|crio|cri-?dockerd|dockershim|buildkitd|balena-engine)"
    r"[\w.-]*\.sock|lxd/unix\.socket|libvirt-sock|kubelet\.sock|/run/systemd/private)"
)
_SOCKETS = (
    *("/run/docker.sock", "/var/run/docker.sock", "/run/podman/podman.sock"),
    *("/run/containerd/containerd.sock", "/run/crio/crio.sock", "/run/systemd/private"),
    *("/var/run/podman/podman.sock", "/var/run/containerd/containerd.sock"),
)
_RUN = ("/run", "/var/run")
_BUSES = ("/run/dbus/system_bus_socket", "/var/run/dbus/system_bus_socket")
_SYSTEM = (
    *("/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/root", "/sbin", "/usr", "/var"),
    *("/dev", "/proc", "/sys", "/home", "/run", "/var/run", "/var/lib", "/var/spool"),
)
"""Folders that are programs, settings or secrets of the host as a whole."""
_SYSTEM_TREES = (
    *("/bin", "/boot", "/lib/systemd", "/root/.ssh", "/sbin", "/usr/bin", "/usr/sbin"),
    *(
        "/usr/lib/systemd",
        "/etc/cni",
        "/etc/cron.d",
        "/opt/cni",
        "/etc/cron.daily",
        "/etc/cron.hourly",
        "/etc/crontab",
    ),
    *("/etc/docker", "/etc/group", "/etc/init.d", "/etc/kubernetes", "/etc/ld.so.preload"),
    *("/etc/pam.d", "/etc/passwd", "/etc/profile", "/etc/profile.d", "/etc/shadow", "/etc/ssh"),
    *("/etc/sudoers", "/etc/sudoers.d", "/etc/systemd", "/etc/udev", "/var/lib/containerd"),
    *("/var/lib/containers", "/var/lib/docker", "/var/lib/kubelet", "/var/lib/rancher"),
    *("/var/spool/cron", "/proc", "/sys", "/run/systemd", "/lib/modules", "/usr/lib/modules"),
)
"""The same with all that lies in them."""
_PUBLIC = ("/lib/modules", "/usr/lib/modules", "/etc/passwd", "/etc/group", "/etc/profile")
"""What anybody may read."""
_KERNEL = ("/proc", "/sys")
_DISK = re.compile(
    r"/dev(/(mem|kmem|port|mapper(/.*)?|disk(/.*)?|block(/.*)?|(sd|hd|vd|xvd)[a-z]+\d*"
    r"|nvme\d+n\d+(p\d+)?|mmcblk\d+(p\d+)?|dm-\d+|md\d+|loop\d+|loop-control))?"
)
_DEFAULT = re.compile(r"\$\{\w+:?[-+]([^{}]*)\}")


def expand(path: str) -> str:
    """A path with the defaults of its variables, without detours."""
    path = expand_variables(path)
    return "/" + normpath(path).lstrip("/") if path.startswith("/") else path


def expand_variables(text: str) -> str:
    """With the defaults that compose has for variables that are not set."""
    return _DEFAULT.sub(r"\1", text)


def mounted(path: str, line: int, *, writable: bool) -> Iterator[ExposureAt]:
    """What a file or a folder of the host exposes that is mounted."""
    place = expand(path)
    if _SOCKET.fullmatch(place):
        yield ExposureAt(Exposure.CONTROL_SOCKET, path, line)
    elif place in _BUSES:
        yield ExposureAt(Exposure.SYSTEM_BUS, path, line)
    elif place == "/" or any(_holds(place, socket) for socket in _SOCKETS if _below(place, _RUN)):
        yield ExposureAt(Exposure.CONTROL_SOCKET, f"{path}, which holds control sockets", line)
        yield from _folder(place, path, line, writable=True) if place == "/" and writable else ()
    elif _DISK.fullmatch(place):
        yield ExposureAt(Exposure.DISK, path, line)
    else:
        yield from _folder(place, path, line, writable=writable)


def _folder(place: str, path: str, line: int, *, writable: bool) -> Iterator[ExposureAt]:
    if not (place == "/" or place in _SYSTEM or _below(place, _SYSTEM_TREES)):
        return
    if writable:
        yield ExposureAt(Exposure.SYSTEM_FOLDER, path, line)
    elif _below(place, _KERNEL):
        yield ExposureAt(Exposure.HOST_KERNEL, path, line)
    elif not _below(place, _PUBLIC):
        yield ExposureAt(Exposure.READABLE_FOLDER, path, line)


def device(path: str, line: int) -> ExposureAt:
    """What a device of the host exposes."""
    disk = _DISK.fullmatch(expand(path))
    return ExposureAt(Exposure.DISK if disk else Exposure.DEVICE, path, line)


def device_rule(rule: str, line: int) -> Iterator[ExposureAt]:
    """What a rule of the devices cgroup exposes (``c 13:* rmw``)."""
    words = rule.split()
    if words[:1] in (["a"], ["b"]) or "*:*" in words[1:2]:
        yield ExposureAt(Exposure.DISK, f"device rule {rule}", line)


def _holds(folder: str, path: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")


def _below(place: str, folders: tuple[str, ...]) -> bool:
    return any(place == folder or _holds(folder, place) for folder in folders)
