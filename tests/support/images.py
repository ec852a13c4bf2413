"""Images out of what is installed here: no registry is asked, and nothing is downloaded."""

from __future__ import annotations

import io
import os
import pwd
import struct
import subprocess
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from capadvise.model.caps import Cap

_LEFT_OUT = ("/usr/share/doc", "/usr/share/man", "/usr/share/locale", "/usr/share/info")
_PROGRAMS = ("/usr/bin/", "/usr/sbin/", "/usr/lib/")
_FOLDERS = (
    *("etc", "proc", "dev", "sys", "tmp", "run", "root", "data"),
    *("var", "var/lib", "var/log", "usr"),
)
_LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
_USERS = "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/var/www:/bin/sh\n"
_USERS += "redis:x:999:999::/data:/bin/sh\npostgres:x:998:998::/data:/bin/sh\n"
_GROUPS = "root:x:0:\nadm:x:4:\nwww-data:x:33:\nredis:x:999:\npostgres:x:998:\n"


def debian(
    tar: Path,
    packages: Sequence[str],
    files: Mapping[str, str],
    owners: Mapping[str, str] = MappingProxyType({}),
    filecaps: Mapping[str, Cap] = MappingProxyType({}),
) -> None:
    """A root file system with these packages of the host and the libraries that they load.

    ``files``: path → text; scripts, and those below /usr/local/bin, are made executable.
    ``owners``: path of a folder → a user of the host. ``filecaps``: path → what ``setcap`` gives.
    """
    listed = subprocess.run(["dpkg", "-L", *packages], check=True, capture_output=True, text=True)
    wanted = {_merged(line) for line in listed.stdout.splitlines() if line.startswith("/")}
    wanted = {path for path in wanted if os.path.lexists(path) and not path.startswith(_LEFT_OUT)}
    wanted |= {_merged(library) for library in _libraries(wanted)}
    given = {"etc/passwd": _USERS, "etc/group": _GROUPS, **files}
    wanted -= {f"/{name}" for name in (*given, *owners)}  # docker takes no name twice
    with tarfile.open(tar, "w") as archive:
        for name in _FOLDERS:
            if name not in owners:
                _add(archive, name, tarfile.DIRTYPE, mode=0o1777 if name == "tmp" else 0o755)
        for name, target in _LINKS.items():
            _add(archive, name, tarfile.SYMTYPE, link=target)
        for path in sorted(wanted):
            if os.path.islink(path) or not os.path.isdir(path) or path.lstrip("/") not in _FOLDERS:
                item = archive.gettarinfo(path, path.lstrip("/"))
                if cap := filecaps.get(path):
                    item.pax_headers = {"SCHILY.xattr.security.capability": _permitted(cap)}
                _put(archive, item, path)
        for name, text in given.items():
            program = name.startswith("usr/local/bin") or text.startswith("#!")
            mode = 0o755 if program else 0o644
            _add(archive, name, tarfile.REGTYPE, mode=mode, text=text)
        for name, user in owners.items():
            _add(archive, name, tarfile.DIRTYPE, mode=0o755, owner=user)


def _add(
    archive: tarfile.TarFile,
    name: str,
    kind: bytes,
    *,
    mode: int = 0o777,
    link: str = "",
    text: str = "",
    owner: str = "root",
) -> None:
    item = tarfile.TarInfo(name)
    item.type, item.mode, item.linkname, item.size = kind, mode, link, len(text.encode())
    item.uid, item.gid = pwd.getpwnam(owner)[2:4]
    archive.addfile(item, io.BytesIO(text.encode()))


def static(tar: Path, programs: Mapping[str, str], files: Mapping[str, str]) -> None:
    """Nothing but static programs (name → path on the host) and files, as ``FROM scratch``."""
    with tarfile.open(tar, "w") as archive:
        for name, path in programs.items():
            archive.add(path, name, recursive=False)
        for name, text in files.items():
            _add(archive, name, tarfile.REGTYPE, mode=0o644, text=text)


def _put(archive: tarfile.TarFile, item: tarfile.TarInfo, path: str) -> None:
    if item.isreg():
        with open(path, "rb") as file:
            archive.addfile(item, file)
    else:
        archive.addfile(item)


def _permitted(cap: Cap) -> str:
    """``=ep`` as the extended attribute has it: vfs_cap_data of linux/capability.h."""
    bits = 1 << cap
    return struct.pack("<5I", 0x02000001, bits & 0xFFFFFFFF, 0, bits >> 32, 0).decode()


def _merged(path: str) -> str:
    """/bin, /sbin and /lib are links into /usr."""
    first = path.split("/")[1]
    return f"/{_LINKS[first]}{path[len(first) + 1 :]}" if first in _LINKS else path


def _libraries(paths: Iterable[str]) -> set[str]:
    """What the programs and libraries among these load, links and what they point to."""
    found: set[str] = set()
    programs = [path for path in paths if path.startswith(_PROGRAMS) and _is_elf(path)]
    said = subprocess.run(["ldd", *programs], capture_output=True, text=True).stdout
    for line in said.splitlines():
        words = line.split()
        path = words[2] if len(words) > 2 and words[1] == "=>" else words[0] if words else ""
        while path.startswith("/") and os.path.exists(path) and not path.endswith(":"):
            found.add(path)
            if not os.path.islink(_merged(path)):
                break
            path = os.path.join(os.path.dirname(_merged(path)), os.readlink(_merged(path)))
    return {os.path.normpath(path) for path in found}


def _is_elf(path: str) -> bool:
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def load(tar: Path, image: str, client: Sequence[str], *changes: str) -> None:
    """Make an image of a root file system."""
    words = [word for change in changes for word in ("--change", change)]
    with tar.open("rb") as archive:
        subprocess.run(
            [*client, "import", *words, "-", image],
            stdin=archive,
            check=True,
            capture_output=True,
            env={**os.environ, "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"},
        )


def box(tar: Path, busybox: str) -> None:
    """busybox with all its applets, and a file to play with."""
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True)
    with tarfile.open(tar, "w") as archive:
        for name in (*_FOLDERS, "bin"):
            _add(archive, name, tarfile.DIRTYPE, mode=0o1777 if name == "tmp" else 0o755)
        archive.add(busybox, "bin/busybox")
        for applet in applets.stdout.split():
            if applet != "busybox":
                _add(archive, f"bin/{applet}", tarfile.SYMTYPE, link="busybox")
        _add(archive, "etc/passwd", tarfile.REGTYPE, mode=0o644, text=_USERS)
        _add(archive, "data/file", tarfile.REGTYPE, mode=0o644, text="of the image\n")
