"""Patching the user's own file: the lines that must change, and no byte more.

A patch is a pure function from text to text. It works on the tree that ``read`` works on
(``yaml_tree``, ``unit_file``), edits there (``text_edits``, ``changes``, ``flowing``), then reads
old and new text again and refuses where they differ in more than was meant, and where the gate's
own reader does not see what was meant. ``files`` in ``capadvise.formats`` reads and writes.
For others: ``PATCHES``, ``patched`` and ``effect``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from capadvise.formats.edit import compose, kubernetes, quadlet, systemd
from capadvise.formats.edit.effect import effective
from capadvise.formats.edit.patched import Patched
from capadvise.formats.snippet import Snippet

Patch = Callable[[str, str | None, Snippet], Patched]

PATCHES: dict[str, Patch] = {
    "compose": partial(effective, "compose", compose.patch),
    "kubernetes": partial(effective, "kubernetes", kubernetes.patch),
    "quadlet": partial(effective, "quadlet", quadlet.patch),
    "systemd": partial(effective, "systemd", systemd.patch),
}
"""By format: text, ``[KIND/]NAME[/CONTAINER]`` (None: the only one), what it is to have."""
