"""How to run and check a target again and again: the workload file.

The format is public: ``capadvise help workloads`` describes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capadvise import strict
from capadvise.errors import BadInput

MAX_BYTES = 1 << 20
"""A larger file is not a workload."""
KINDS = ("oneshot", "daemon")


@dataclass(frozen=True, slots=True)
class Workload:
    """All scripts are for the shell; ``$W``, ``$HOME`` and ``$BENCH`` are in their environment."""

    kind: str = "oneshot"
    """``oneshot``: checked after its exit; ``daemon``: checked until it passes, then SIGTERM."""
    setup: str | None = None
    """Run once before each trial, with full privileges, in the fresh scratch directory."""
    check: str | None = None
    """Says whether the target did its job; with full privileges, outside the target."""
    expect_exit: int | None = 0
    """The exit status that a oneshot must have; None for any."""
    timeout: float = 10.0
    """Seconds."""
    teardown: str | None = None
    fresh: tuple[str, ...] = ()
    """Further directories that each trial gets a private copy of."""


@dataclass(frozen=True, slots=True)
class Named:
    """One document of a workload file."""

    name: str
    argv: tuple[str, ...]
    workload: Workload


_REQUIRED = ("name", "command")
_OPTIONAL = (
    *("kind", "setup", "check", "expect_exit", "timeout", "teardown", "fresh"),
    *("needs", "tags", "notes", "published", "exclusive"),
)
KEYS = (*_REQUIRED, *_OPTIONAL)
"""All that a workload may hold; ``capadvise help workloads`` explains each."""


def load(path: Path) -> list[Named]:
    """All workloads of a file. Raises BadInput with file, line, key and what was expected."""
    try:
        with path.open(encoding="utf-8") as file:  # /dev/zero has no size
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise BadInput(f"{path}: too large for a workload file")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise BadInput(f"{path}: {reason}") from error
    found = [_named(path, raw) for raw in strict.load_all(path, text) if raw is not None]
    if not found:
        raise BadInput(f"{path}: it holds no workload")
    names = [named.name for named in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise BadInput(f"{path}: two workloads are called {twice[0]!r}")
    return found


def _named(path: Path, raw: Any) -> Named:
    strict.keys(path, raw, required=_REQUIRED, optional=_OPTIONAL)
    kind = raw.get("kind", "oneshot")
    if kind not in KINDS:
        raise _wrong(path, raw, "kind", "oneshot or daemon")
    command = raw["command"]
    if isinstance(command, str):
        argv: tuple[str, ...] = ("/bin/sh", "-c", command)
    elif isinstance(command, list) and command and all(isinstance(x, str) for x in command):
        argv = tuple(command)
    else:
        raise _wrong(path, raw, "command", "a text, or a list of texts")
    if any("\0" in word for word in argv):
        raise _wrong(path, raw, "command", "free of NUL characters")
    expect = raw.get("expect_exit", 0)
    if expect != "any" and (isinstance(expect, bool) or not isinstance(expect, int)):
        raise _wrong(path, raw, "expect_exit", "a number or any")
    timeout = raw.get("timeout", 10)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < 1e9:
        raise _wrong(path, raw, "timeout", "a number of seconds above 0")
    fresh = raw.get("fresh", [])
    if not isinstance(fresh, list) or not all(
        isinstance(folder, str) and folder.startswith("/") for folder in fresh
    ):
        raise _wrong(path, raw, "fresh", "a list of absolute paths")
    return Named(
        name=_text(path, raw, "name") or "",
        argv=argv,
        workload=Workload(
            kind=kind,
            setup=_text(path, raw, "setup"),
            check=_text(path, raw, "check"),
            expect_exit=None if expect == "any" else expect,
            timeout=float(timeout),
            teardown=_text(path, raw, "teardown"),
            fresh=tuple(fresh),
        ),
    )


def _text(path: Path, raw: Any, key: str) -> str | None:
    value = raw.get(key)
    if value is not None and not isinstance(value, str):
        raise _wrong(path, raw, key, "a text (quote it if it looks like a number or true)")
    return value


def _wrong(path: Path, raw: Any, key: str, expected: str) -> BadInput:
    return BadInput(f"{path}: line {raw[strict.LINE]}: {key!r} must be {expected}")
