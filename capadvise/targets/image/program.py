"""A program of an image, copied to this machine, with file capabilities: as setcap in a Dockerfile
makes it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from capadvise.kernel import procfs
from capadvise.kernel.executables import FileCaps
from capadvise.model.caps import CapSet
from capadvise.model.errors import BadInput
from capadvise.targets.client.client import TRIAL_LABEL, Client, EngineError

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_COMM = 15
"""Characters of a name that the kernel keeps."""


def program_with(
    client: Client, start: Sequence[str], comm: str, caps: CapSet, folder: Path
) -> str:
    """Where the image has the program of this name; its copy, with these capabilities, is
    ``folder/program``. ``start``: the image and its command, after options that change that.

    Raises BadInput where it is not found, or capabilities of its file do nothing.
    """
    copy = folder / "program"
    with _made(client, start) as container:
        (made,) = client.inspect(container)
        for path in _places(made.argv, comm):
            if _copied(client, f"{container}:{path}", copy):
                _give(copy, path, caps)
                return path
    raise BadInput(f"the image has no program {comm}")


@contextmanager
def _made(client: Client, start: Sequence[str]) -> Iterator[str]:
    """A container that never starts."""
    label = f"--label={TRIAL_LABEL}={procfs.mark()}"
    container = client.call("create", "--network=none", label, *start).split()[-1]
    try:
        yield container
    finally:
        client.remove([container])


def _places(argv: tuple[str, ...], comm: str) -> Iterator[str]:
    for word in argv:
        if PurePosixPath(word).name[:_COMM] == comm and word.startswith("/"):
            yield word
    names = [word for word in argv if word[:_COMM] == comm and "/" not in word]
    for name in (*names, comm):
        yield from (f"{place}/{name}" for place in _PATH.split(":"))


def _copied(client: Client, place: str, copy: Path) -> bool:
    follow = ["--follow-link"] if client.engine == "docker" else []
    with suppress(EngineError):
        client.call("cp", *follow, place, str(copy))
        return copy.is_file()
    return False


def _give(copy: Path, path: str, caps: CapSet) -> None:
    with copy.open("rb") as file:
        if file.read(2) == b"#!":
            raise BadInput(f"{path} is a script: capabilities of its file do nothing")
    if os.statvfs(copy).f_flag & os.ST_NOSUID:
        raise BadInput(f"{copy.parent} is on a file system with nosuid, where they do nothing")
    value = FileCaps(caps, frozenset(), effective=True).encode().hex()
    words = [sys.executable, "-I", "-c", _SETCAP, str(copy), value]
    if subprocess.run(words, stderr=subprocess.DEVNULL).returncode:
        raise BadInput(f"{copy.parent} is on a file system without file capabilities")


_SETCAP = """import os, sys
path, value = sys.argv[1:]
os.chown(path, 0, 0)
os.chmod(path, 0o755)
os.setxattr(path, "security.capability", bytes.fromhex(value))
"""
"""Another process: it takes more than we keep."""
