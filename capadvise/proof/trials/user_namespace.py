"""A user namespace for a trial, as that of a container: with a network, a host name, IPC and mounts
that belong to it.

Ids are mapped one to one, so that files have the owners that idmapped volumes would show there;
those from ``USUAL_IDS`` on are not mapped, and no capability counts for the host.
"""

from __future__ import annotations

import os
from pathlib import Path

from capadvise.judgement.user_namespace import USUAL_IDS
from capadvise.kernel import libc
from capadvise.model import clone_flags

_KINDS = {
    "net": clone_flags.CLONE_NEWNET,
    "uts": clone_flags.CLONE_NEWUTS,
    "ipc": clone_flags.CLONE_NEWIPC,
    "mnt": clone_flags.CLONE_NEWNS,
}


def enter() -> str:
    """Make them, and enter all but the user namespace. Where that one is found: the target enters
    it. Raises OSError."""
    (told, tell), (go, let_go) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(let_go)  # or its end would not be seen
        _make(tell, go)
    os.close(tell)
    os.close(go)
    try:
        _expect(told, pid)
        for kind in ("uid", "gid"):
            Path(f"/proc/{pid}/{kind}_map").write_text(f"0 0 {USUAL_IDS}")
        os.write(let_go, b"m")
        _expect(told, pid)
        users = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        for name, flag in _KINDS.items():
            fd = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
            libc.setns(fd, flag)
            os.close(fd)
    finally:
        os.close(let_go)  # it ends
        os.close(told)
        os.waitpid(pid, 0)
    return f"/proc/{os.getpid()}/fd/{users}"


def _make(tell: int, go: int) -> None:
    """In the child: make them, and stay until they were opened."""
    try:
        libc.unshare(clone_flags.CLONE_NEWUSER)
        os.write(tell, b"u")
        if os.read(go, 1):
            libc.unshare(sum(_KINDS.values()))
            os.write(tell, b"n")
            os.read(go, 1)
    finally:
        os._exit(0)


def _expect(told: int, pid: int) -> None:
    if not os.read(told, 1):
        raise OSError(0, "a user namespace could not be made")
