"""Writing a report file: whole or not at all, and for its owner alone."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from capadvise.catalog import Catalog
from capadvise.judgement.report import Report
from capadvise.model.errors import BadInput
from capadvise.report.dump import dump
from capadvise.report.place import folder_of, give_to_user, is_special


def save(path: Path, report: Report, catalog: Catalog) -> None:
    """Write the report atomically, for its owner alone: arguments can be secrets.

    Raises BadInput where the place cannot be written to.
    """
    write(path, json.dumps(dump(report, catalog), indent=1) + "\n", private=True)


def write(path: Path, text: str, *, private: bool) -> None:
    """Write a file atomically; for its owner alone, or as the umask says.

    Raises BadInput where the place cannot be written to.
    """
    what = "the report " if private else ""
    try:
        with folder_of(path) as (folder, name):
            if is_special(folder, name):
                fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder)
                with os.fdopen(fd, "w", encoding="utf-8") as file:
                    file.write(text)
            else:
                _write(folder, name, text, private=private)
    except OSError as error:
        raise BadInput(f"cannot write {what}{path}: {error.strerror}") from error
    except ValueError as error:  # a NUL byte
        raise BadInput(f"cannot write {what}{path}: {error}") from error


def _write(folder: int, name: str, text: str, *, private: bool) -> None:
    """Put the text in the place of what has this name."""
    temporary = f".{name[:200]}.{os.urandom(8).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(temporary, flags, 0o600 if private else 0o666, dir_fd=folder)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            give_to_user(file.fileno())
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise
