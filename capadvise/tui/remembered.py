"""What the user chose some other time: a theme, and keys of their own, in one small file."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from capadvise.model.errors import CapadviseError

_BYTES = 64 << 10


def _file() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "capadvise" / "tui.json"


def remembered() -> tuple[str | None, dict[str, str]]:
    """(theme, keys by the name of what they do); nothing where the file is none of ours."""
    values = _values()
    theme, keys = values.get("theme"), values.get("keys")
    ours = isinstance(keys, dict) and all(isinstance(key, str) for key in keys.values())
    return (theme if isinstance(theme, str) else None), keys if ours and keys else {}


def _values() -> dict[str, Any]:
    with suppress(OSError, ValueError):
        path = _file()
        if path.stat().st_size <= _BYTES:
            values = json.loads(path.read_text(encoding="utf-8"))
            return values if isinstance(values, dict) else {}
    return {}


def remember(*, theme: str) -> None:
    """Keep a choice, where that can be done."""
    from capadvise.report.save import write

    with suppress(OSError, CapadviseError):
        path = _file()
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(_values() | {"theme": theme}, indent=1)
        write(path, f"{text}\n", private=False)
