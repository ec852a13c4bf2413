"""The parser as plain values: each command with its usage, options and notes.

The manual page, the reference and the shell completions are made of these, so that all of them say
the same as ``--help``.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from capadvise.cli.parser import build_parser, subcommands
from capadvise.cli.parser.base import MORE


@dataclass(frozen=True, slots=True)
class DocumentedOption:
    """One option or argument."""

    names: tuple[str, ...]
    """``-o``, ``--output``; empty for an argument."""
    value: str
    """Its value as ``--help`` shows it: ``REPORT``, ``[all-calls]``, ``{oneshot,daemon}``."""
    help: str
    more: bool = False
    """One of those that few people need."""

    @property
    def written(self) -> str:
        """Names and value: ``-o, --output REPORT``."""
        return f"{', '.join(self.names)} {self.value}".strip()


@dataclass(frozen=True, slots=True)
class Note:
    """A paragraph of a command's help; ``code`` is to be kept as it stands."""

    text: str
    code: bool = False


@dataclass(frozen=True, slots=True)
class DocumentedCommand:
    """One subcommand, or a subcommand of one."""

    name: str
    """The words that the user types: ``catalog show``."""
    summary: str
    about: str
    """The summary as a sentence."""
    usage: str
    options: tuple[DocumentedOption, ...]
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class DocumentedProgram:
    """The whole command line."""

    about: tuple[Note, ...]
    options: tuple[DocumentedOption, ...]
    commands: tuple[DocumentedCommand, ...]
    notes: tuple[Note, ...]


def program() -> DocumentedProgram:
    """The command line as it is."""
    parser = build_parser()
    return DocumentedProgram(
        about=notes(parser.description or ""),
        options=tuple(_options(parser)),
        commands=tuple(_commands(parser, "")),
        notes=notes(parser.epilog or ""),
    )


def _commands(parser: argparse.ArgumentParser, before: str) -> Iterator[DocumentedCommand]:
    for name, summary, child in subcommands(parser):
        whole = f"{before}{name}"
        within = tuple(_commands(child, f"{whole} "))
        yield DocumentedCommand(
            name=whole,
            summary=summary,
            about=child.description or "",
            usage=child.usage or whole,
            options=tuple(_options(child)),
            notes=notes(child.epilog or ""),
        )
        yield from within


def _options(parser: argparse.ArgumentParser) -> Iterator[DocumentedOption]:
    """All options and arguments but those that are in the usage alone."""
    groups = [group for group in parser._action_groups if group._group_actions]
    for action, more in ((a, g.title == MORE) for g in groups for a in g._group_actions):
        inner = isinstance(action, argparse._HelpAction | argparse._SubParsersAction)
        documented = action.help is not argparse.SUPPRESS and (action.option_strings or action.help)
        if documented and not inner:
            yield DocumentedOption(
                tuple(action.option_strings), _value(action), action.help or "", more=more
            )


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    shown = action.metavar
    if shown is None and action.choices is not None:
        shown = f"{{{','.join(map(str, action.choices))}}}"
    text = str(shown or action.dest.upper())
    return f"[{text}]" if action.nargs == "?" and action.option_strings else text


def notes(text: str) -> tuple[Note, ...]:
    """The paragraphs of a help text. Indented ones are code, and those after ``example:``."""
    parts = []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        example = re.match(r"examples?:(?: +|\n)", block)
        if example or block.startswith("  "):
            code = block[example.end() :] if example else block
            parts.append(Note(textwrap.dedent(code).rstrip(), code=True))
        elif block.strip():
            parts.append(Note(" ".join(block.split())))
    return tuple(parts)
