"""The command line as two pages: ``capadvise(1)``, in the man macros that groff and mandoc both
read, and Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from capadvise import __version__
from capadvise.observe.ftrace.probes import FORCE, RETRY, Observer
from tests.generate.options import DocumentedCommand, DocumentedOption, DocumentedProgram, Note
from tests.generate.words import code, head, prose, row

_FILES = (
    ("$XDG_STATE_HOME/capadvise/", "where reports go that -o names no place for; else "
     "~/.local/state/capadvise/. Under sudo it is the state of the user who called."),
)  # fmt: skip
_ENVIRONMENT = (
    (FORCE, f"{', '.join(Observer)} or {RETRY}: use this way to see checks, and no other; "
     "capadvise doctor lists them."),
    ("NO_COLOR", "set: no colours."),
)  # fmt: skip


def manual_page(program: DocumentedProgram) -> str:
    """The page."""
    lines = [
        '.\\" Made by python -m tests.generate of capadvise/cli/parser/commands.json.',
        f'.TH CAPADVISE 1 "" "capadvise {__version__}" "User Commands"',
        ".SH NAME",
        *_text("capadvise - find the smallest set of Linux capabilities that a program needs"),
        ".SH SYNOPSIS",
        *(".B capadvise", ".I COMMAND", "[options] ..."),
        ".SH DESCRIPTION",
        *list(_notes(program.about))[1:],
        *_options(program.options),
        ".SH COMMANDS",
    ]
    for command in program.commands:
        lines += _command(command)
    lines += [".SH EXIT STATUS", *list(_notes(program.notes))[1:]]
    for title, items in (("ENVIRONMENT", _ENVIRONMENT), ("FILES", _FILES)):
        lines.append(f".SH {title}")
        for name, text in items:
            lines += _item(name, text)
    lines += [".SH SEE ALSO", ".BR capabilities (7),", ".BR setpriv (1),", ".BR systemd.exec (5)"]
    return "\n".join(lines) + "\n"


def _command(command: DocumentedCommand) -> Iterator[str]:
    yield f".SS {_escaped(command.usage)}"
    yield from _text(command.about)
    yield from _options(command.options)
    yield from _notes(command.notes)


def _options(options: Sequence[DocumentedOption]) -> Iterator[str]:
    for option in options:
        if option.more and option is next(each for each in options if each.more):
            yield from (".PP", "More options:")
        yield from _item(option.written, option.help)


def _item(name: str, text: str) -> Iterator[str]:
    yield from (".TP", f".B {_escaped(name)}", *_text(text))


def _notes(notes: Sequence[Note]) -> Iterator[str]:
    for note in notes:
        if note.code:
            yield from (".PP", ".nf", ".RS", *map(_escaped, note.text.splitlines()), ".RE", ".fi")
        else:
            yield from (".PP", *_text(note.text))


def _text(text: str) -> Iterator[str]:
    """A paragraph, as lines that mandoc finds short enough."""
    for line in textwrap.wrap(text, 70, break_long_words=False, break_on_hyphens=False):
        yield _escaped(line)


def _escaped(line: str) -> str:
    """A line that is no request, with hyphens and quotes that can be pasted into a shell."""
    plain = "".join(_ESCAPES.get(c, c if ord(c) < 128 else f"\\[u{ord(c):04X}]") for c in line)
    return f"\\&{plain}" if plain.startswith(".") else plain


_ESCAPES = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", '"': "\\(dq", "…": "..."}


def command_line_page(program: DocumentedProgram) -> str:
    """Every command and option, in the order of ``--help``."""
    lines = [
        "# Command line",
        *_markdown_notes(program.about),
        "",
        *head("command", "what it does"),
    ]
    for command in program.commands:
        if " " not in command.name:
            lines.append(
                row(f"[{command.name}](#capadvise-{command.name})", prose(command.summary))
            )
    lines += [*_markdown_options(program.options), *_markdown_notes(program.notes)]
    for command in program.commands:
        lines += _markdown_command(command)
    return "\n".join(lines) + "\n"


def _markdown_command(command: DocumentedCommand) -> Iterator[str]:
    deeper = "#" * command.name.count(" ")
    yield from ("", f"##{deeper} capadvise {command.name}", "")
    yield from (prose(command.about), "")
    yield from ("```", command.usage, "```")
    yield from _markdown_options(command.options)
    yield from _markdown_notes(command.notes)


def _markdown_options(options: Sequence[DocumentedOption]) -> Iterator[str]:
    for more, title in ((False, "option"), (True, "more options")):
        if chosen := [option for option in options if option.more is more]:
            yield from ("", *head(title, "what it does"))
        for option in chosen:
            yield row(code([option.written]), prose(option.help))


def _markdown_notes(notes: Sequence[Note]) -> Iterator[str]:
    for note in notes:
        yield ""
        yield from (("```", note.text, "```") if note.code else (prose(note.text),))
