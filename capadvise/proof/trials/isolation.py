"""What a trial is kept apart from: own namespaces, and covers over what programs write to."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from pathlib import Path

from capadvise.kernel import libc, uapi
from capadvise.kernel.mounting import make_mounts_private
from capadvise.model import clone_flags
from capadvise.proof.trials import user_namespace
from capadvise.proof.trials.covers import Covers

FRESH = ("/etc", "/var/log", "/var/spool", "/var/tmp")
"""A workload of a file sees these through covers."""
DECIDING_SYSCTLS = ("net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range")
"""A new network namespace resets them, and needs hang on them."""
_NOT_COVERED = ("/dev", "/proc", "/run", "/sys", "/tmp")
"""Of a recorded command's trials; /tmp is for what is not to last."""
_EMPTIED = {"/run": "0755", "/dev/shm": "1777"}
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


def isolate(
    kind: str,
    top: Path,
    fresh: list[str],
    cwd: str | None,
    *,
    in_place: bool,
    memory: int,
    userns: bool,
) -> str | None:
    """New mount, network, UTS and IPC namespaces; covers over what programs write to: of a recorded
    command, over all that is on disk. ``memory``: bytes that its scratch directory may have there;
    0 where it is on disk. With ``userns``, they belong to a new user namespace: returns its path.
    Raises OSError and CannotCover."""
    if kind in ("none", "container", "unit"):  # who starts them makes what they have for themselves
        return None
    sysctls = {name: Path("/proc/sys", *name.split(".")) for name in DECIDING_SYSCTLS}
    values = {name: path.read_text() for name, path in sysctls.items() if path.exists()}
    users = user_namespace.enter() if userns else None
    if not userns:
        networked = clone_flags.CLONE_NEWNET | clone_flags.CLONE_NEWUTS | clone_flags.CLONE_NEWIPC
        libc.unshare(clone_flags.CLONE_NEWNS | networked)
    make_mounts_private()
    _loopback_up()
    if not in_place:
        _cover(kind, top, fresh, cwd)
    if memory and cwd is None:  # what is thrown away need not wait for a disk
        libc.mount("scratch", str(top / "w"), 0, "tmpfs", f"mode=0755,size={memory}")
    if kind == "command":
        for name, value in values.items():
            sysctls[name].write_text(value)
    return users


def _covered(kind: str, fresh: list[str], here: str | None, emptied: list[str]) -> list[str]:
    """The folders that get a layer of the trial's own, each once."""
    folders = [*FRESH, *fresh] if kind == "workload" else [*_all_on_disk(), *fresh]
    if here not in (None, "/") and not any(
        _within(here, folder) for folder in (*folders, *emptied)
    ):
        folders.append(here)
    return list(dict.fromkeys(os.path.realpath(folder) for folder in folders))


def _cover(kind: str, top: Path, fresh: list[str], cwd: str | None) -> None:
    if kind == "command":  # it stays writable when the root no longer is
        libc.mount("/tmp", "/tmp", uapi.MS_BIND | uapi.MS_REC)
    scratch = top / "layers"
    scratch.mkdir(mode=0o700)
    covers = Covers(scratch, keep=top)
    here = None if cwd is None else os.path.realpath(cwd)
    emptied = [folder for folder in _EMPTIED if here and _within(here, folder)]
    hold = os.open(here, os.O_PATH) if here and emptied else None
    for folder in _covered(kind, fresh, here, emptied):
        if os.path.isdir(folder):
            covers.cover(folder, always=here)
    for folder, mode in _EMPTIED.items():
        libc.mount("empty", folder, 0, "tmpfs", f"mode={mode}")
    os.mkdir("/run/lock")
    os.chmod("/run/lock", 0o1777)
    if hold is not None and here is not None:  # where it was started is not emptied
        os.makedirs(here, exist_ok=True)
        covers.put(hold, here, in_memory=False)
        os.close(hold)
    if kind == "command":
        _protect_root()


def _all_on_disk() -> list[str]:
    names = sorted(os.listdir("/"))
    folders = [f"/{name}" for name in names if not os.path.islink(f"/{name}")]
    return [folder for folder in folders if os.path.isdir(folder) and folder not in _NOT_COVERED]


def _protect_root() -> None:
    """A cover cannot be mounted over "/" itself."""
    flags = os.statvfs("/").f_flag & uapi.MS_ACCESS
    libc.mount(None, "/", uapi.MS_REMOUNT | uapi.MS_BIND | uapi.MS_RDONLY | flags)


def _within(path: str, folder: str) -> bool:
    return (path + "/").startswith(folder + "/")


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
        request = struct.pack("16sh22x", b"lo", _IFF_UP)
        fcntl.ioctl(anything, _SIOCSIFFLAGS, request)
