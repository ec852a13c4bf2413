"""Capabilities that may be missing when a system call fails: ``catalog/errnos.yaml``.

A row is a possibility, not a judgement: modes, seccomp and security modules give the same errors.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from capadvise.catalog import values
from capadvise.model import strict
from capadvise.model.caps import Cap
from capadvise.model.errors import BadInput


@dataclass(frozen=True, slots=True)
class ErrnoRow:
    """One error of one system call, and the capabilities to try, in this order."""

    syscall: str
    errno: str
    candidates: tuple[Cap, ...]
    source: str


Errnos = Mapping[tuple[str, str], tuple[Cap, ...]]
"""(system call, error) → candidates. A missing pair has none."""

_ERRNOS = frozenset(errno.errorcode.values())


def parse_errnos(path: Path, text: str) -> tuple[ErrnoRow, ...]:
    """The rows of a text; ``path`` is for messages.

    Raises BadInput with file and line.
    """
    raw = strict.load(path, text)
    strict.keys(path, raw, required=("errnos",))
    if not isinstance(raw["errnos"], list):
        raise BadInput(f"{path}: 'errnos' must be a list")
    rows: dict[tuple[str, str], ErrnoRow] = {}
    for item in raw["errnos"]:
        strict.keys(path, item, required=("syscall", "errno", "candidates", "source"))
        row = ErrnoRow(
            syscall=values.text(path, item, "syscall"),
            errno=values.text(path, item, "errno"),
            candidates=values.caps(path, item, "candidates"),
            source=values.text(path, item, "source"),
        )
        at = strict.place(path, item)
        if row.errno not in _ERRNOS:
            raise BadInput(f"{at}: {row.errno!r} is not the name of an error")
        if not row.candidates:
            raise BadInput(f"{at}: 'candidates' is empty: leave the row out")
        if (row.syscall, row.errno) in rows:
            raise BadInput(f"{at}: {row.syscall} with {row.errno} appears twice")
        rows[row.syscall, row.errno] = row
    return tuple(rows.values())
