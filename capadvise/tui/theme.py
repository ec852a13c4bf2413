"""The theme: one that follows the terminal (background, depth of colour, light or dark), or the one
that the user chose some other time, which a small file keeps with keys of their own."""

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme

from capadvise.model.errors import CapadviseError
from capadvise.model.input_file import content
from capadvise.tui.early import EarlyKeys


def theme(environ: Mapping[str, str], background: str | None) -> Theme:
    """A theme for this terminal: its own 16 colours if it has no more or the user wants none, else
    one on the terminal's own background (``#rrggbb``, None if it did not answer)."""
    light = environ.get("COLORFGBG", "").rpartition(";")[2] in ("7", "15")
    if background is not None:
        light = Color.parse(background).brightness > 0.5
    term, depth = environ.get("TERM", ""), environ.get("COLORTERM", "")
    many = depth in ("truecolor", "24bit") or "256color" in term or "direct" in term
    if environ.get("NO_COLOR") or not many:
        return BUILTIN_THEMES["ansi-light" if light else "ansi-dark"]
    built_in = BUILTIN_THEMES["textual-light" if light else "textual-dark"]
    if background is None:
        return built_in
    ground = Color.parse(background)
    front = Color.parse("#000000" if light else "#ffffff")
    return replace(
        built_in,
        name="terminal",
        background=background,
        surface=ground.blend(front, 0.03).hex,
        panel=ground.blend(front, 0.08).hex,
    )


_ANSWER = re.compile(rb"\x1b\]11;rgba?:([0-9a-fA-F]+)/([0-9a-fA-F]+)/([0-9a-fA-F]+)")


def parse_background(answer: bytes) -> str | None:
    """``#rrggbb`` from a terminal's answer to OSC 11."""
    colour = _ANSWER.search(answer)
    if colour is None:
        return None
    return "#" + "".join(
        f"{int(part, 16) * 255 // (16 ** len(part) - 1):02x}" for part in colour.groups()
    )


_KIND = re.compile(rb"\x1b\[\?[0-9;]*c")


def ask_background(keys: EarlyKeys, seconds: float = 0.2) -> str | None:
    """Ask the terminal for its background colour. A second question that every terminal answers
    (its kind) ends the wait for those that do not know the first."""
    try:
        return parse_background(keys.ask(b"\x1b]11;?\x1b\\\x1b[c", _KIND, seconds))
    except OSError:
        return None


_BYTES = 64 << 10


def _file() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "capadvise" / "tui.json"


def remembered() -> tuple[str | None, dict[str, str]]:
    """(theme, keys by the id of their binding); empty if there is no such file."""
    values = _values()
    theme, keys = values.get("theme"), values.get("keys")
    ours = isinstance(keys, dict) and all(isinstance(key, str) for key in keys.values())
    return (theme if isinstance(theme, str) else None), keys if ours and keys else {}


def _values() -> dict[str, Any]:
    with suppress(OSError, ValueError, CapadviseError):
        values = json.loads(content(_file(), _BYTES))
        return values if isinstance(values, dict) else {}
    return {}


def remember(*, theme: str) -> None:
    """Keep a choice, if that is possible; no home is made for it."""
    from capadvise.report.save import write

    home = os.environ.get("HOME", "/")
    if not os.environ.get("XDG_CONFIG_HOME") and not (home.startswith("/") and Path(home).is_dir()):
        return
    with suppress(OSError, CapadviseError):
        path = _file()
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(_values() | {"theme": theme}, indent=1)
        write(path, f"{text}\n", private=False)
