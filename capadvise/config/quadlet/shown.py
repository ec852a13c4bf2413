"""What ``quadlet -dryrun`` shows: the services that it makes."""

from __future__ import annotations

import re
from pathlib import PurePath

from capadvise.config.declared import Declared
from capadvise.config.run import flags
from capadvise.config.units.file import parse, split


def read(shown: str, name: str) -> tuple[Declared, ...]:
    """The container of one of the quadlets: that of the ``podman run`` of its service."""
    unit = re.search(rf"^---{re.escape(PurePath(name).stem)}\.service---$", shown, re.MULTILINE)
    if unit is None:
        return ()
    service = shown[unit.end() :].partition("\n---")[0]
    commands = parse(service).all_of("Service").values("ExecStart")
    words = [word for item in commands for word in split(item.value, 1, "shell-like")]
    if "run" not in words:
        return ()
    return (flags.declared(words[words.index("run") + 1 :], "podman", 1),)
