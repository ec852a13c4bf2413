"""Every command of capadvise that README, pages, demos and help show is one that it takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from capadvise.cli.manual import FOLDER
from capadvise.cli.parser import COMMANDS, build_parser, subcommands
from tests.generate.__main__ import PAGES

TOP = Path(__file__).parents[3]
WRITTEN = sorted(
    path
    for folder in (TOP, FOLDER.parent, TOP / "demos")
    for path in folder.glob("*.md" if folder == TOP else "**/*.md")
    if path.name not in {*PAGES, "changelog.md"}
)
_SPAN = re.compile(r"(?<!`)`(?:sudo )?((?:kubectl )?capadvise [^`]+)`")
_LINE = re.compile(
    r"^(?:\$ |.*\brun: )?(?:sudo )?((?:kubectl )?capadvise [a-z][\w-]* .*?)(?: +# .*)?$"
)
_PROSE = re.compile(rf"^capadvise (?!(?:{'|'.join(COMMANDS)})\b)")


def commands_in(text: str) -> Iterator[str]:
    """In code blocks and in spans; each without what a shell makes of its output."""
    blocks = re.findall(r"(?ms)^ *```[\w-]*\n(.*?)^ *```", text)
    for line in (line for block in blocks for line in block.replace("\\\n", " ").splitlines()):
        if (match := _LINE.match(line.strip())) and not _PROSE.match(match[1]):
            yield match[1]
    spans = re.sub(r"(?ms)^ *```.*?^ *```", "", text)
    yield from (" ".join(match[1].split()) for match in _SPAN.finditer(spans))


def words_of(command: str) -> list[str]:
    """The words that capadvise gets; of alternatives, the first."""
    command = re.split(
        r" (?:\||>|&&|;|2>) | {3,}", command.replace("kubectl capadvise", "k kubernetes")
    )[0]
    first = (word.partition("|")[0] for word in shlex.split(command)[1:])
    return [word.replace("…", "x") for word in first]


def problem(command: str) -> str | None:
    """What is wrong with a command; None for what is taken, and for the name of a command with
    options, which stands for more (``capadvise prove --userns``)."""
    words = words_of(command)
    try:
        build_parser(*words[:1]).parse_args(words)
    except SystemExit as error:
        return None if not error.code or _only_names(words) else command
    return None


def _only_names(words: list[str]) -> bool:
    parser, rest = build_parser(), list(words)
    while rest and (below := {name: child for name, _, child in subcommands(parser)}):
        if rest[0] not in below:
            return False
        parser = below[rest.pop(0)]  # type: ignore[assignment]
    known = {option for action in parser._actions for option in action.option_strings}
    return all(word in known for word in rest)


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(TOP)))
def test_every_command_that_is_shown_is_taken(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = [each for each in commands_in(path.read_text()) if problem(each)]
    assert wrong == [], capsys.readouterr().err


def test_commands_are_found_and_judged() -> None:
    text = """\
Type `sudo capadvise run --prove -- docker compose up`, see `capadvise prove --userns`; and
`kubectl capadvise record deploy/web -n prod -o web/`, `capadvise check --explain`.

```console
$ sudo capadvise attach --for 10 web | cat
capadvise is a program, and this its output
```

      - run: capadvise check x --format lisp # never
"""
    found = list(commands_in(text))
    assert len(found) == 5
    assert [each for each in found if problem(each)] == [
        "kubectl capadvise record deploy/web -n prod -o web/",
        "capadvise check --explain",
    ]


def test_the_examples_of_help_are_taken() -> None:
    pending, examples = [build_parser()], []
    for parser in pending:
        pending += [child for _, _, child in subcommands(parser)]
        notes = f"{parser.description}\n{parser.epilog}"
        examples += re.findall(r"(?m)(?:^  |^example: )((?:kubectl )?capadvise .*)$", notes)
    assert len(examples) > 20
    assert [each for each in examples if problem(each)] == []


def test_the_arguments_of_containers_are_taken() -> None:
    """``args:`` of pods, in the pages and in what ``watch --emit`` prints."""
    lists = [
        yaml.safe_load(found)
        for path in WRITTEN
        for found in re.findall(r"\bargs: (\[.*\])", path.read_text())
    ]
    assert lists
    for words in lists:
        build_parser(words[0]).parse_args(words)
