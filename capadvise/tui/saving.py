"""What Save would do: a new file, another one in its place, or a change in the user's own."""

from __future__ import annotations

import difflib
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from capadvise.catalog import Catalog
from capadvise.errors import BadInput, CapadviseError
from capadvise.formats import FORMATS
from capadvise.formats.edit import PATCHES
from capadvise.formats.snippet import Snippet, snippet_of
from capadvise.report.escape import printable
from capadvise.report.place import give_to_user
from capadvise.tui.choice import Choice

FILES = {"compose": "compose.cap.yaml", "kubernetes": "security-context.yaml"}
"""Names that are proposed; ``capadvise.FORMAT`` for the others."""
MAX_BYTES = 4 << 20
"""A larger file is not a configuration."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be written, and how to say it. Nothing is written by making one."""

    text: str
    """The whole file as it would be."""
    said: str
    """``writes a new file``."""
    diff: str | None = None
    """The change, where there is a file already."""
    services: tuple[str, ...] = ()
    """What the file declares; one of them is changed."""
    problem: str | None = None
    """Why nothing can be written."""


def chosen(choice: Choice, catalog: Catalog) -> Snippet:
    """The chosen set, as every format takes it. Raises BadInput as ``snippet_of`` does."""
    return snippet_of(choice.report, choice.caps, catalog, set_name=choice.set_name)


def rendered(choice: Choice, format_name: str, catalog: Catalog) -> str:
    """The chosen set in a configuration language; why there is none, where there is none."""
    try:
        return FORMATS[format_name].render(chosen(choice, catalog))
    except CapadviseError as error:
        return f"# {printable(str(error))}\n"


def file_name(format_name: str) -> str:
    """The file that is proposed."""
    return FILES.get(format_name, f"capadvise.{format_name}")


def plan(
    choice: Choice, format_name: str, catalog: Catalog, path: Path, service: str | None
) -> Plan:
    """What Save would do to this file."""
    new = ""
    try:
        snippet = chosen(choice, catalog)
        new = FORMATS[format_name].render(snippet)
        old = _read(path)
        if old is None:
            return Plan(new, "A new file.")
        if format_name not in PATCHES:
            return Plan(new, "The file is replaced.", diff=_diff(path, old, new))
        return _patched(snippet, format_name, path, old, service)
    except CapadviseError as error:
        hint = f" ({error.hint})" if error.hint else ""
        return Plan(new, "", problem=f"{error}{hint}")


def _patched(snippet: Snippet, format_name: str, path: Path, old: str, service: str | None) -> Plan:
    """The user's own file with another set for one service."""
    services = tuple(item.service for item in FORMATS[format_name].read(old))
    if service not in services:
        service = services[0] if len(services) == 1 else None
    if service is None and services:
        return Plan(old, "", services=services, problem="It has several services: which one?")
    patched = PATCHES[format_name](old, service, snippet)
    said = " ".join((f"{patched.service} will change, nothing else.", *patched.notes))
    if patched.text == old:
        said = f"{patched.service} has this set already."
    return Plan(patched.text, said, _diff(path, old, patched.text), services)


def _diff(path: Path, old: str, new: str) -> str:
    """What changes, as ``diff -u`` shows it."""
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), str(path), f"{path} (new)", lineterm=""
    )
    return "\n".join(lines)


def _read(path: Path) -> str | None:
    """The text of a file; None where there is none. Raises BadInput for what cannot be changed."""
    try:
        if not path.exists():
            if not path.parent.is_dir():
                raise BadInput(f"{path.parent} is not a folder")
            return None
        if not path.is_file():
            raise BadInput(f"{path} is not a file")
        if path.stat().st_size > MAX_BYTES:
            raise BadInput(f"{path} is too large for a configuration")
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise BadInput(f"{path}: {reason}") from error


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all; a link stays a link, and a mode stays as it was.

    Raises BadInput where it cannot be written.
    """
    try:
        path = path.resolve()
        mode = path.stat().st_mode & 0o7777 if path.exists() else 0o644
        fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(text)
                os.fchmod(file.fileno(), mode)
                give_to_user(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}") from error
