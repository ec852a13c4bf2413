"""Writing a report file: whole or not at all, and for its owner alone."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from capadvise.catalog import Catalog
from capadvise.errors import BadInput
from capadvise.report.dump import dump
from capadvise.report.model import Report
from capadvise.report.place import give_to_user, make_folder


def save(path: Path, report: Report, catalog: Catalog) -> None:
    """Write the report atomically, for its owner alone: arguments can be secrets.

    Raises BadInput where the place cannot be written to.
    """
    write(path, json.dumps(dump(report, catalog), indent=1) + "\n", private=True)


def write(path: Path, text: str, *, private: bool) -> None:
    """Write a file atomically; for its owner alone, or as the umask says.

    Raises BadInput where the place cannot be written to.
    """
    try:
        path = path.resolve()  # a link stays a link
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")  # /dev/null, a pipe
            return
        make_folder(path.parent)
        fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(text)
                if not private:
                    os.fchmod(file.fileno(), 0o666 & ~_umask())
                give_to_user(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        what = "the report " if private else ""
        raise BadInput(f"cannot write {what}{path}: {error.strerror}") from error


def _umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
