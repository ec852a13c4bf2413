"""How capadvise is called as root: in words, for hints."""

from __future__ import annotations

import os
import shlex
import shutil
import sys

SECURE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where sudo looks for a command (``secure_path`` of Debian and Ubuntu): in nobody's home, which is
where pipx and uv put commands."""


def as_root() -> str:
    """``sudo capadvise``; with the whole path where sudo would not find it."""
    own = os.path.abspath(sys.argv[0])
    if os.path.basename(own) != "capadvise" or shutil.which("capadvise", path=SECURE_PATH):
        return "sudo capadvise"
    return f"sudo {shlex.quote(own)}"


def with_sudo(command: str = "…") -> str:
    """The hint for what takes root: how ``command`` is called with it."""
    return f"prefix the command with sudo: {as_root()} {command}"
