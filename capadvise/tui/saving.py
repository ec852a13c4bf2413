"""What Save would do: a new file, another one in its place, or a change in the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from capadvise.catalog import Catalog
from capadvise.config import LANGUAGES
from capadvise.config.patched import Patched
from capadvise.gate.files import Change
from capadvise.gate.patching import Patching, patching
from capadvise.model.errors import BadInput, CapadviseError
from capadvise.report.pages import FORMATS
from capadvise.report.save import write
from capadvise.tui.choice import Choice
from capadvise.tui.snippets import chosen

MAX_BYTES = 4 << 20
"""A larger file is not a configuration."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be written, and how to say it. Nothing is written by making one."""

    text: str
    """The whole file as it would be."""
    said: tuple[str, ...] = ()
    """One sentence each."""
    change: Change | None = None
    """Where there is a file already."""
    services: tuple[str, ...] = ()
    """What the file declares; one of them is changed."""
    problem: str | None = None
    """Why nothing can be written."""
    patching: Patching | None = None
    """What is put into the user's own file, of which the program that reads it can be asked; None
    where a whole file is written, or nothing changes."""

    def write(self, path: Path) -> None:
        """Write it. Raises CapadviseError where that cannot be done."""
        if self.change is None:
            write(path, self.text, private=False)
        else:
            self.change.write()


def file_name(format_name: str) -> str:
    """The file that is proposed."""
    language = LANGUAGES.get(format_name)
    return (language and language.file_name) or f"capadvise.{format_name}"


def plan(
    choice: Choice, format_name: str, catalog: Catalog, path: Path, service: str | None
) -> Plan:
    """What Save would do to this file."""
    new = ""
    try:
        snippet = chosen(choice, catalog)
        new = FORMATS[format_name].render(snippet)
        before = _read(path)
        if before is None:
            return Plan(new, (f"Would create {path}.",))
        language = LANGUAGES.get(format_name)
        if language is None or not language.can("edit"):
            change = Change(path, before, Patched(new, ""))
            return Plan(new, (f"Would replace {path}.",), change)
        services = tuple(item.service for item in language.read(before.decode()))
        if len(services) == 1 or service not in services:
            service = None  # the only one needs no name, and a unit's is not in its file
        if service is None and len(services) > 1:
            text = before.decode()
            return Plan(text, services=services, problem="Several services are in it: choose one.")
        dropped = choice.start & choice.toggled
        made = patching(path, language, service, snippet, choice.report, dropped=dropped)
        said = (_what_changes(made.change), *made.notes)
        asked = None if made.change.empty else made
        return Plan(made.change.patched.text, said, made.change, services, patching=asked)
    except CapadviseError as error:
        return Plan(new, problem=in_one_line(error))


def in_one_line(error: CapadviseError) -> str:
    """An error, with its hint behind it."""
    return f"{error} ({error.hint})" if error.hint else str(error)


def _what_changes(change: Change) -> str:
    name = change.patched.service or "The service"
    if change.empty:
        return f"{name} already has this set: nothing to change."
    more = "what extends it" if change.patched.dependents else "nothing else in the file"
    return f"Changes {name}, and {more}."


def _read(path: Path) -> bytes | None:
    """What is in a file; None where there is none. Raises BadInput for what cannot be changed."""
    try:
        if not path.exists():
            if not path.parent.is_dir():
                raise BadInput(f"{path.parent} is not a folder")
            return None
        if not path.is_file():
            raise BadInput(f"{path} is not a file")
        if path.stat().st_size > MAX_BYTES:
            raise BadInput(f"{path} is too large for a configuration")
        data = path.read_bytes()
        data.decode()
        return data
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise BadInput(f"{path}: {reason}") from error
