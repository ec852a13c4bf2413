"""Ask the consumer of a file (podman, systemd, helm …) what it reads from it. The answer is None if
the program is not installed or refuses the file."""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from capadvise.config import host_paths
from capadvise.config.kubernetes.files import CHARTS
from capadvise.config.language import Language
from capadvise.config.units.names import QUADLETS
from capadvise.config.yaml.reader import texts_below
from capadvise.model import input_file
from capadvise.model.errors import BadInput
from capadvise.targets.client.answer import MEMORY, NoAnswer, TooLate, answer_of

SECONDS = 30.0
"""Time limit for one answer: these programs only read files."""
_MOST_FILES = 1000
MAX_BESIDE, MOST_OF_ONE = 200, 1 << 20
"""Limits on the files beside the one in question: their number, and the size of each."""


def check_files(paths: Sequence[str], keys: Sequence[str] = (), texts: Sequence[str] = ()) -> None:
    """Read, within our limits, what a consumer reads without any: these files, and those that they
    name, below these keys or, without keys, anywhere. ``texts``: of the first files, instead of
    what they contain. Raises BadInput for one that is not a regular file, or too large."""
    given = dict(zip(paths, texts, strict=False))
    todo = list(paths)
    for path in todo:  # it grows
        names: list[str] = [".env"]
        if os.path.isdir(path):
            folders, names = [path], list(CHARTS)
        else:
            folders = [os.path.dirname(path), os.path.dirname(paths[0])]
            text = given.get(path)
            if text is None:
                data = input_file.content(path, input_file.MAX_BYTES, pipes=False)
                text = data.decode(errors="replace")
            with suppress(BadInput):
                said = texts_below(text, keys)
                names += map(host_paths.expand_variables, said)
        places = (os.path.normpath(os.path.join(folder, x)) for folder in folders for x in names)
        new = [x for x in dict.fromkeys(places) if x not in todo and os.path.exists(x)]
        todo += new[: _MOST_FILES - len(todo)]


def ask(language: Language, paths: Sequence[str], texts: Sequence[str]) -> str | None:
    """The answer about a file, or a unit and its drop-ins, with these texts instead of the
    files'."""
    command = language.command
    if command is not None and not command.beside:
        check_files(paths, language.reads, texts)
    files = _around(paths, texts) if command is not None and command.beside else {}
    place = Path(paths[0])
    return ask_about(language, place.name, files, text=texts[0], folder=str(place.resolve().parent))


def ask_about(
    language: Language, name: str, files: Mapping[str, str], *, text: str = "", folder: str = ""
) -> str | None:
    """The answer about one of these files (name in a folder → text), or about a text."""
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
    """The first complaint of ``systemd-analyze verify`` about the file ``of`` among these."""
    if shutil.which("systemd-analyze") is None:
        return None
    # It also fails because of other units' files.
    argv = ["sh", "-c", 'systemd-analyze verify --man=no "./$1" 2>&1 || :', "sh", name]
    with tempfile.TemporaryDirectory(prefix="capadvise-units-") as folder:
        _write(Path(folder), files)
        said = _output(argv, folder=folder) or ""
    lines = (line.partition(f"{of}:") for line in said.splitlines())
    return next((rest for _, is_about_it, rest in lines if is_about_it), None)


def _around(paths: Sequence[str], texts: Sequence[str]) -> dict[str, str]:
    """A unit, its drop-ins and the quadlets beside it that it can refer to: name in their folder →
    text."""
    folder = Path(paths[0]).parent
    files = {os.path.relpath(path, folder): text for path, text in zip(paths, texts, strict=True)}
    beside = [each for each in sorted(folder.iterdir()) if each.suffix in QUADLETS]
    for other in beside[:MAX_BESIDE]:
        if other.name not in files and not other.is_dir():
            with suppress(BadInput):  # podman passes over it, too
                files[other.name] = input_file.text(other, MOST_OF_ONE)
    return files


def rendered(path: str, argv: Sequence[str]) -> str:
    """Render a kustomization or a chart with a tool. Raises BadInput if the tool refuses it."""
    check_files([path])
    try:
        return answer_of(argv, argv[0], SECONDS, memory=MEMORY).stdout
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
    """The output of a program; None if it is not installed or fails."""
    if shutil.which(argv[0]) is None:
        return None
    try:
        return answer_of(
            *(argv, argv[0], SECONDS),
            given=given,
            folder=folder,
            environment=environment,
            memory=MEMORY,
        ).stdout
    except TooLate as error:
        raise BadInput(str(error)) from error
    except NoAnswer:
        return None
