"""What the program that reads a file makes of it, where it is installed. None where it is not, or
does not take the file."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from capadvise.config.language import Language
from capadvise.config.units.names import QUADLETS
from capadvise.model.errors import BadInput
from capadvise.targets.client.answer import NoAnswer, TooLate, answer_of

SECONDS = 30.0
"""They read files; one that takes longer hangs."""
MAX_BESIDE, MAX_BYTES = 200, 1 << 20
"""Of the files beside one that is asked about."""


def ask(language: Language, paths: Sequence[str], texts: Sequence[str]) -> str | None:
    """What is shown of a file, or of a unit and its drop-ins; their texts need not be there yet."""
    command = language.command
    files = around(paths, texts) if command is not None and command.beside else {}
    place = Path(paths[0])
    return ask_about(language, place.name, files, text=texts[0], folder=str(place.resolve().parent))


def ask_about(
    language: Language, name: str, files: Mapping[str, str], *, text: str = "", folder: str = ""
) -> str | None:
    """What is shown of one of these files, by their names in a folder, or of a text."""
    command = language.command
    if command is None:
        return None
    made = tempfile.TemporaryDirectory(prefix="capadvise-units-")
    with made if command.beside else nullcontext(folder) as place:
        if command.beside:
            _write(Path(place), files)

        def filled(word: str) -> str:
            return word.replace("{folder}", place).replace("{name}", name)

        for words in command.commands:
            shown = _output(
                list(map(filled, words)),
                "" if command.beside else text,
                folder=place if command.beside else None,
                environment={key: filled(value) for key, value in command.environment.items()},
            )
            if shown:
                return shown
    return None


def complaint(name: str, files: Mapping[str, str], of: str) -> str | None:
    """The first thing that ``systemd-analyze verify`` does not like of a file among these."""
    if shutil.which("systemd-analyze") is None:
        return None
    # It fails for whatever it finds, in files of others as well.
    argv = ["sh", "-c", 'systemd-analyze verify --man=no "./$1" 2>&1 || :', "sh", name]
    with tempfile.TemporaryDirectory(prefix="capadvise-units-") as folder:
        _write(Path(folder), files)
        said = _output(argv, folder=folder) or ""
    lines = (line.partition(f"{of}:") for line in said.splitlines())
    return next((rest for _, is_about_it, rest in lines if is_about_it), None)


def around(paths: Sequence[str], texts: Sequence[str]) -> dict[str, str]:
    """A unit and its drop-ins, and the quadlets beside it that it can refer to, by their names in
    their folder."""
    folder = Path(paths[0]).parent
    files = {os.path.relpath(path, folder): text for path, text in zip(paths, texts, strict=True)}
    beside = [each for each in sorted(folder.iterdir()) if each.suffix in QUADLETS]
    for other in beside[:MAX_BESIDE]:
        if other.name not in files and other.is_file() and other.stat().st_size < MAX_BYTES:
            files[other.name] = other.read_text(encoding="utf-8", errors="replace")
    return files


def rendered(path: str, argv: Sequence[str]) -> str:
    """What a tool makes of a kustomization or a chart. Raises BadInput where it refuses it."""
    try:
        return answer_of(argv, argv[0], SECONDS).stdout
    except NoAnswer as error:
        raise BadInput(f"{path}: {error}") from error


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        place = folder / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(text, encoding="utf-8", newline="")


def _output(
    argv: Sequence[str],
    given: str = "",
    *,
    folder: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> str | None:
    """What a program prints; None where it is not there, or fails."""
    if shutil.which(argv[0]) is None:
        return None
    try:
        return answer_of(
            argv, argv[0], SECONDS, given=given, folder=folder, environment=environment
        ).stdout
    except TooLate as error:
        raise BadInput(str(error)) from error
    except NoAnswer:
        return None
