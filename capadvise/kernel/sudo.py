"""How capadvise is called as root: in words, for hints."""

import os
import sys

SECURE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The folders that sudo searches for a command (``secure_path`` of Debian and Ubuntu): no home
folder, and pipx and uv install into a home folder."""


def as_root() -> str:
    """How to call capadvise as root: ``sudo capadvise``; without sudo for root, and with the path
    if sudo would not find it (pipx, uv). The path of a virtual environment is never shown: it means
    nothing in a hint that is copied elsewhere."""
    if os.geteuid() == 0:
        return "capadvise"
    import shlex  # only hints need these two
    import shutil

    own = os.path.abspath(sys.argv[0])
    hidden = os.path.dirname(own) == os.path.join(sys.prefix, "bin")
    if (
        os.path.basename(own) != "capadvise"
        or hidden
        or shutil.which("capadvise", path=SECURE_PATH)
    ):
        return "sudo capadvise"
    return f"sudo {shlex.quote(own)}"


def with_sudo(command: str | None = None) -> str:
    """The hint for a command that needs root: what was typed, or another one."""
    if command is None:
        import shlex

        command = shlex.join(sys.argv[1:]) or "…"
    return f"run it as root: {as_root()} {command}"
