"""The processes that start containers and keep them: their names, and whose container it is."""

from collections.abc import Sequence
from itertools import pairwise

CONMON = "conmon"
"""podman and CRI-O start one for each container, and one for each ``exec``."""
CONTAINERD_SHIM = "containerd-shim"
"""The shim of docker and containerd, containerd-shim-runc-v2 and others, as the kernel cuts it."""
_RUNTIMES = ("runc", "crun", "youki", CONMON, CONTAINERD_SHIM)


def is_shim(name: str) -> bool:
    """True if a program of this name keeps a container for as long as the container lives."""
    return name == CONMON or name.startswith(CONTAINERD_SHIM)


def is_runtime(name: str) -> bool:
    """True if a program of this name starts containers, or keeps them."""
    return name.startswith(_RUNTIMES)


def container_id(arguments: Sequence[str]) -> str | None:
    """The container that a shim (``-id ID``) or conmon (``-c ID``, ``--cid ID``) keeps."""
    return word_after(arguments, "-id", "--id", "-c", "--cid")


def word_after(arguments: Sequence[str], *options: str) -> str | None:
    """The word behind one of these options, the first one."""
    return next((after for word, after in pairwise(arguments) if word in options), None)
