"""The power that files, devices, file systems and keys give to a service. The facts are in
``catalog/host.yaml``: what is not known to be harmless is a finding, or not judged."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from posixpath import join, normpath
from typing import Any

from capadvise.catalog import default
from capadvise.catalog.host import HARMLESS, UNKNOWN
from capadvise.config.declared import NEW, Exposure, ExposureAt


def namespaces(consumer: str) -> dict[str, Exposure]:
    """Key or option → the exposure if a service has the host's namespace."""
    return {key: Exposure(x) for key, x in default().host.lists["namespaces"][consumer].items()}


_DEFAULT = r"\$\{\w+:?[-+]([^{}]*)\}"
_VARIABLE = r"\$(?:\w+|\{\w+[^}]*\})"
_HOME = r"^(?:~|\$HOME|\$\{HOME\})(?=/|$)"
_GLOB = r"/[^/]*[*?\[].*"
_FAR = r"(?:\./)?(?:\.\./){2,}\.\.(?:/|$)"


def expand_variables(text: str) -> str:
    """With the defaults that compose has for variables that are not set."""
    while (expanded := re.sub(_DEFAULT, r"\1", text)) != text:
        text = expanded
    return text


def has_variable(text: str) -> bool:
    """True if only the environment settles a part of it."""
    left = re.sub(_HOME, "", expand_variables(text.replace("$$", "")))
    return re.search(_VARIABLE, left) is not None


def split_mount(mount: str) -> list[str]:
    """``source:target:modes`` at colons that stand in no variable."""
    return re.split(r":(?![^{}]*\})", expand_variables(mount))


def below(folder: str, path: str) -> str:
    """A relative path that leaves the folder it is relative to, as one from the root."""
    leaves = normpath(path).startswith("..") if path.startswith(".") else False
    return normpath(join(folder, path)) if folder and leaves else path


def mounted(path: str, line: int, *, writable: bool, target: str = "") -> Iterator[ExposureAt]:
    """The exposures of a file or folder of the host. Where only the environment settles it, its
    place in the container (``target``) can show what is meant."""
    if has_variable(path) and (meant := _meant(expand_variables(target), writable=writable)):
        yield ExposureAt(meant, f"{path} as {target}", line, NEW)
    place = re.sub(_HOME, "/home/~", expand_variables(path), count=1)
    if re.match(_FAR, place):  # far up from where its file lies: it is taken to begin at the root
        place = "/" + normpath(place).replace("../", "").removesuffix("..")
    if place.startswith("/"):
        place = re.sub(_GLOB, "", place) or "/"
    # The kernel takes no longer path.
    kind, holds = _judged(place, writable=writable) if len(place) < 4096 else (UNKNOWN, "")
    if kind != HARMLESS:
        since = "" if default().host.is_former(default().host.followed(place)) else NEW
        yield ExposureAt(Exposure(kind), f"{path}, {holds}" if holds else path, line, since)
    if kind == Exposure.CONTROL_SOCKET and writable and default().host.followed(place) == "/":
        yield ExposureAt(Exposure.SYSTEM_FOLDER, path, line)


def _meant(target: str, *, writable: bool) -> Exposure | None:
    """The exposure by a place in a container that people use for nothing but that of the host."""
    host = default().host
    if host.is_named(target, "control-sockets"):
        return Exposure.CONTROL_SOCKET
    if any(fnmatchcase(target.rstrip("/"), each) for each in host.lists["targets"]):
        return Exposure.SYSTEM_FOLDER if writable else Exposure.READABLE_FOLDER
    kind, _ = _judged(target, writable=writable)
    return Exposure.DISK if kind == Exposure.DISK else None


@lru_cache(maxsize=1024)
def _judged(path: str, *, writable: bool) -> tuple[str, str]:
    """The kind, and what a folder holds. Engines remove ``..`` before the kernel follows links, or
    leave that to it: the worse of both counts."""
    host = default().host
    if not path.startswith("/"):
        is_socket = host.is_named(path, "control-sockets")
        relative = UNKNOWN if path.startswith("%") else HARMLESS  # a folder that systemd knows
        return Exposure.CONTROL_SOCKET if is_socket else relative, ""
    ways = {host.followed(path), host.followed(normpath(path))}
    judged = [_at(way, writable=writable) for way in sorted(ways)]
    return max(judged, key=lambda each: (HARMLESS, UNKNOWN, each[0]).index(each[0]))


def _at(path: str, *, writable: bool) -> tuple[str, str]:
    host = default().host
    if host.is_named(path, "control-sockets"):
        return Exposure.CONTROL_SOCKET, ""
    place, depth = host.place(path)
    kind = place.writing if writable else place.reading
    settled = set("$%").isdisjoint("".join(path.split("/")[1 : depth + 1]))
    vetted = place.sockets or not host.is_named(path, "sockets")
    return (UNKNOWN, "") if kind == HARMLESS and not (settled and vetted) else (kind, place.holds)


def device(path: str, line: int) -> Iterator[ExposureAt]:
    """The exposure of a device of the host: engines follow links, and begin at the root. One by a
    name of the Container Device Interface (``vendor.com/class=name``) is described elsewhere."""
    host = default().host
    vendor, is_name, _ = path.partition("=")
    if has_variable(path) or not path or (is_name and vendor in host.lists["device-vendors"]):
        return
    place = host.followed(f"/{expand_variables(path)}")
    if place.startswith("/dev/") or place == "/dev":
        yield from mounted(place, line, writable=True)
    else:
        yield ExposureAt(Exposure.UNKNOWN, f"the device {path}", line)


def device_rule(rule: str, line: int) -> Iterator[ExposureAt]:
    """The exposure of a rule of the devices cgroup (``c 13:* rmw``). Making a node (m) alone opens
    nothing."""
    kind, number, access, *_ = (*rule.split(), "", "", "")
    major, _, minor = number.partition(":")
    exposure = numbered(kind, major, minor)
    if exposure is not None and (access != "m" or exposure is Exposure.DISK):
        yield ExposureAt(exposure, f"device rule {rule}", line)


def numbered(kind: str, major: str, minor: str) -> Exposure | None:
    """The exposure of devices by their numbers; ``*`` and nothing stand for all of them."""
    numbers = default().host.lists["numbers"]
    asked = (kind or "a", major or "*", minor or "*")

    def among(which: str, *, whole: bool) -> bool:
        fits = [
            [
                a == b or b == "*" or (a == "*" and not whole)
                for a, b in zip(asked, each, strict=True)
            ]
            for each in (re.split("[ :]", known) for known in numbers[which])
        ]
        return any(map(all, fits))

    if among("disk", whole=False):
        return Exposure.DISK
    return None if among("harmless", whole=True) else Exposure.UNKNOWN


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume as the driver of an engine makes it, or a mount of a bundle."""

    driver: str = ""
    kind: str = ""
    """The type of its file system."""
    device: str = ""
    options: str = ""

    def exposed(
        self, line: int, *, writable: bool, bundle: bool = False, target: str = ""
    ) -> Iterator[ExposureAt]:
        """Its exposures. The runtime mounts those of a ``bundle`` in the container's namespaces."""
        host, said = default().host.lists, self.options.split(",")
        writable = writable and not {"ro", "rro"} & set(said)
        if self.driver and self.driver not in host["volume-drivers"]:
            yield ExposureAt(Exposure.UNKNOWN, f"the volume driver {self.driver}", line)
        elif {"bind", "rbind"} & set(said) or self.kind in ("", "none", "bind", "rbind"):
            yield from mounted(self.device, line, writable=writable, target=target)
        elif self.kind in ("overlay", "overlayfs"):
            for name, _, folders in (part.partition("=") for part in said):
                for folder in folders.split(":") if name.rstrip("+").endswith("dir") else ():
                    yield from mounted(folder, line, writable=name in ("upperdir", "workdir"))
        elif not bundle:
            yield from self._mounted(line, writable=writable)
        elif self.kind not in host["filesystems"]["of-container"]:
            shown = self.kind in host["filesystems"]["kernel"] and not writable
            yield from self._mounted(line, writable=writable) if not shown else ()

    def _mounted(self, line: int, *, writable: bool) -> Iterator[ExposureAt]:
        """Its exposures by the type of its file system."""
        systems, named = default().host.lists["filesystems"], f"a {self.kind} file system"
        on_disk = self.kind in systems["disks"]
        if self.kind in systems["kernel"]:
            kind = Exposure.SYSTEM_FOLDER if writable else Exposure.READABLE_FOLDER
            yield ExposureAt(kind, named, line)
        elif self.kind in systems["devices"] or (on_disk and not self.device.startswith("/")):
            yield ExposureAt(Exposure.DISK, f"{named} ({self.device})", line)
        elif on_disk:
            yield from device(self.device, line)
        elif self.kind not in systems["harmless"]:
            yield ExposureAt(Exposure.UNKNOWN, named, line)


@lru_cache
def keys_of(consumer: str) -> tuple[frozenset[str], dict[str, Any]]:
    """All keys that are known, and what is known of them."""
    facts = default().host.lists["keys"][consumer]
    lists = ("known", "reads", "writes", "values")
    return frozenset(name for which in lists for name in facts.get(which, ())), facts


def reached(consumer: str, key: str, value: str, line: int) -> Iterator[ExposureAt]:
    """The exposures of a file of the host that a key names, whose content gets into the service or
    which its consumer writes; and of a key, or a value of it, that nobody knows."""
    names, facts = keys_of(consumer)
    values = facts.get("values", {}).get(key, ("*",))
    writes = key in facts.get("writes", ())
    if writes or key in facts.get("reads", ()):
        for item in mounted(value, line, writable=writes):
            judged = writes or item.kind is Exposure.UNKNOWN
            kind = item.kind if judged else Exposure.READABLE_FOLDER
            yield ExposureAt(kind, f"{key}={value}" if writes else value, line, NEW)
        return
    known = key in names and any(fnmatchcase(value, each) for each in values)
    if not known and (not key.startswith(("x-", "X-")) or key.startswith("x-podman")):
        yield ExposureAt(Exposure.UNKNOWN, f"{key}={value}", line, NEW)
