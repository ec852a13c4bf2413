"""The command line as a page of Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from capadvise.cli.manual.options import (
    DocumentedCommand,
    DocumentedOption,
    DocumentedProgram,
    Note,
)
from capadvise.cli.manual.words import code, head, prose, row


def command_line_page(program: DocumentedProgram) -> str:
    """Every command and option, in the order of ``--help``."""
    lines = [
        "# Command line",
        *_notes(program.about),
        "",
        *head("command", "what it does"),
    ]
    for command in program.commands:
        if " " not in command.name:
            lines.append(
                row(f"[{command.name}](#capadvise-{command.name})", prose(command.summary))
            )
    lines += [*_options(program.options), *_notes(program.notes)]
    for command in program.commands:
        lines += _command(command)
    return "\n".join(lines) + "\n"


def _command(command: DocumentedCommand) -> Iterator[str]:
    deeper = "#" * command.name.count(" ")
    yield from ("", f"##{deeper} capadvise {command.name}", "")
    yield from (prose(command.about), "")
    yield from ("```", command.usage, "```")
    yield from _options(command.options)
    yield from _notes(command.notes)


def _options(options: Sequence[DocumentedOption]) -> Iterator[str]:
    if options:
        yield from ("", *head("option", "what it does"))
    for option in options:
        yield row(code([option.written]), prose(option.help))


def _notes(notes: Sequence[Note]) -> Iterator[str]:
    for note in notes:
        yield ""
        yield from (("```", note.text, "```") if note.code else (prose(note.text),))
