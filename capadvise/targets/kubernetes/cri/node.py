"""The pods of this machine, found beside the shims of their containers.

A shim of containerd keeps a pod: it works in the bundle of the pod's first container, and those of
all containers lie side by side. CRI-O has a conmon for each container, with its bundle in the
arguments (``-b``). Shims belong to root, in the machine's own pid namespace; a process that can
feign one can do anything.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from capadvise.kernel import procfs, user_namespaces
from capadvise.kernel.process_tree import descendants
from capadvise.model.errors import CannotObserve
from capadvise.targets.kubernetes.cri.bundle import ID, CriContainer, parse
from capadvise.targets.shims import CONMON, CONTAINERD_SHIM, container_id, is_shim, word_after

DAEMONS = ("containerd", "crio")
NAMESPACE = "k8s.io"
"""containerd's name for the namespace that a kubelet uses."""
_LARGEST = 4 << 20
"""The most bytes of a configuration."""


@dataclass(frozen=True, slots=True)
class KeptContainer:
    """A container that was created, and its first process."""

    container: CriContainer
    pid: int
    shim: int


def is_shim_of_pods(pid: int) -> bool:
    """True if a process keeps containers of a kubelet."""
    name = procfs.comm(pid)
    if name.startswith(CONTAINERD_SHIM):
        return word_after(procfs.arguments(pid), "-namespace") == NAMESPACE and is_roots(pid)
    return name == CONMON and is_roots(pid)


def is_roots(pid: int) -> bool:
    """True if root runs a process, in the machine's own pid namespace."""
    ids = user_namespaces.ids(pid)
    mine = procfs.namespace(pid, "pid") == procfs.INITIAL_PID_NAMESPACE
    return mine and ids is not None and not any(ids[0])


def require() -> None:
    """Raise CannotObserve if no pods can be here, or they may not be read."""
    names = ((pid, procfs.comm(pid)) for pid in procfs.processes())
    keepers = [pid for pid, name in names if name in DAEMONS or is_shim(name)]
    if not keepers:
        raise CannotObserve(
            "neither containerd nor CRI-O runs on this machine",
            hint="run capadvise on the node of the pod, in its initial pid namespace",
        )
    for pid in keepers:
        try:
            os.stat(f"/proc/{pid}/ns/pid")
        except PermissionError as error:
            raise CannotObserve(
                "capadvise may not read the files beside the shims of pods",
                hint="that needs CAP_SYS_PTRACE; in a pod: capabilities: {add: [SYS_PTRACE]}",
            ) from error
        except OSError:
            continue  # it has ended


def shims() -> list[int]:
    """The shims of all pods."""
    return [pid for pid in procfs.processes() if is_shim_of_pods(pid)]


def daemons() -> list[int]:
    """The processes that shims descend from."""
    return [pid for pid in procfs.processes() if procfs.comm(pid) in DAEMONS and is_roots(pid)]


def containers() -> Iterator[KeptContainer]:
    """Those of all pods whose first process lives."""
    for shim in shims():
        for folder, pid in _below_conmon(shim) or _below_shim(shim):
            if (container := read(shim, folder)) is not None:
                yield KeptContainer(container, pid, shim)


def read(shim: int, folder: str) -> CriContainer | None:
    """The container of a bundle, whose path is the one that a shim, or a runtime below it, sees."""
    name = os.path.basename(folder.rstrip("/"))
    container = name if ID.fullmatch(name) else container_id(procfs.arguments(shim))
    text = _text(shim, f"{folder}/config.json", _LARGEST)
    return parse(container, text) if text and container else None


def created(container: str) -> CriContainer | None:
    """A container of containerd by its id, perhaps not started yet."""
    for shim in shims():
        with suppress(OSError):
            folder = os.path.dirname(os.readlink(f"/proc/{shim}/cwd"))
            if (made := read(shim, f"{folder}/{container}")) is not None:
                return made
    return None


def _below_conmon(shim: int) -> list[tuple[str, int]]:
    folder = word_after(procfs.arguments(shim), "-b")
    return [(folder, pid) for pid in _children(shim)[:1]] if folder is not None else []


def _below_shim(shim: int) -> Iterator[tuple[str, int]]:
    """The bundles and first processes of a shim. Those of all pods lie side by side."""
    with suppress(OSError):
        folder = os.path.dirname(os.readlink(f"/proc/{shim}/cwd"))
        children = {str(pid): pid for pid in _children(shim)}
        for name in os.listdir(_seen(shim, folder)):
            pid = children.get(_text(shim, f"{folder}/{name}/init.pid", 32) or "")
            if ID.fullmatch(name) and pid is not None:
                yield f"{folder}/{name}", pid


def _children(shim: int) -> list[int]:
    below = (pid for pid in descendants(shim) if procfs.parent(pid) == shim)
    return [pid for pid in below if procfs.state(pid) not in ("", "Z", "X")]


def _seen(shim: int, path: str) -> Path:
    return Path(f"/proc/{shim}/root{path}")


def _text(shim: int, path: str, largest: int) -> str | None:
    try:
        with _seen(shim, path).open(errors="replace") as file:
            text = file.read(largest + 1)
    except OSError:
        return None
    return text if len(text) <= largest else None


def digest(image: str, address: str) -> str | None:
    """The digest of an image, if containerd's own client is there to read it."""
    words = ["ctr", f"--address={address}", f"--namespace={NAMESPACE}", "images", "ls"]
    try:
        done = subprocess.run(
            [*words, f"name=={image}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    rows = [line.split() for line in done.stdout.splitlines()]
    return next((row[2] for row in rows if row[:1] == [image] and len(row) > 2), None)
