"""Patching the user's own file: the lines that must change, and no byte more.

A patch is a pure function from text to text. It finds the places (``nodes``, ``units``), cuts and
inserts there (``cuts``, ``changes``, ``flowing``), then reads old and new text again and refuses
where they differ in more than was meant. ``files`` in ``capadvise.formats`` reads and writes.
"""

from __future__ import annotations

from collections.abc import Callable

from capadvise.formats.edit import compose, kubernetes, quadlet, systemd
from capadvise.formats.edit.patched import Patched
from capadvise.formats.snippet import Snippet

Patch = Callable[[str, str | None, Snippet], Patched]

PATCHES: dict[str, Patch] = {
    "compose": compose.patch,
    "kubernetes": kubernetes.patch,
    "quadlet": quadlet.patch,
    "systemd": systemd.patch,
}
"""By format: text, ``[KIND/]NAME[/CONTAINER]`` (None: the only one), what it is to have."""
