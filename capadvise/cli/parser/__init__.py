"""The command line's arguments, made of ``commands.json``. ``cli`` calls the module of ``commands``
that has the name of the subcommand.

A command has ``usage`` (what follows its name), ``what`` (half a sentence), ``notes`` (the lines
below the options) and its ``arguments``; in ``more`` are the options that few people need; and
``takes``: for an argument the kinds of files that it takes, none for those of any language. An
argument has its names and what argparse's ``add_argument`` takes; without help, it is not shown.
A text stands for one of ``common``, and of ``either`` only one may be given.

For others: ``build_parser``, ``subcommands``, ``COMMANDS``; and ``base``, ``hints``.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from capadvise import __version__
from capadvise.cli.parser.base import Help, Parser, capability, seconds, set_name

_TABLE = json.loads(Path(__file__).with_name("commands.json").read_text(encoding="utf-8"))
COMMANDS: Mapping[str, Mapping[str, Any]] = _TABLE["commands"]
"""The subcommands, in the order of the help."""
_TYPES: dict[str, Callable[[str], object]] = {
    **{"int": int, "seconds": seconds, "set": set_name, "cap": capability}
}


def build_parser(only: str = "") -> argparse.ArgumentParser:
    """All subcommands on one screen; or ``only`` one, if there is one of this name: to make them
    all takes 10 ms."""
    parser = Parser(
        prog="capadvise",
        description="\n".join(_TABLE["description"]),
        epilog="\n".join(_TABLE["exit codes"]),
        formatter_class=Help,
    )
    parser.add_argument("--version", action="version", version=f"capadvise {__version__}")
    chosen = {only: COMMANDS[only]} if only in COMMANDS else COMMANDS
    _add_commands(parser, chosen, dest="subcommand", metavar="COMMAND")
    return parser


def _add_commands(
    parser: Parser, commands: Mapping[str, Mapping[str, Any]], *, dest: str, metavar: str
) -> None:
    adding = parser.add_subparsers(dest=dest, required=True, metavar=metavar, prog=parser.prog)
    for name, told in commands.items():
        what, notes = told["what"], "\n".join(told.get("notes", ()))
        command = adding.add_parser(
            name,
            help=what,
            description=f"{what[:1].upper()}{what[1:]}.",
            usage=f"{parser.prog} {name} {told['usage']}".rstrip(),
            epilog=notes.replace("{files}", _files()) if "{files}" in notes else notes,
            formatter_class=Help,
        )
        _add_arguments(command, told.get("arguments", ()))
        if "more" in told:
            _add_arguments(command.more, told["more"])
        if "commands" in told:
            _add_commands(command, told["commands"], dest="verb", metavar=told["metavar"])


def _add_arguments(
    parser: argparse._ActionsContainer, arguments: Iterable[str | Mapping[str, Any]]
) -> None:
    for each in arguments:
        argument = _TABLE["common"][each] if isinstance(each, str) else each
        if "either" in argument:
            _add_arguments(parser.add_mutually_exclusive_group(), argument["either"])
            continue
        names, help_ = argument["names"], argument["help"]
        options = {key: argument[key] for key in argument if key not in ("names", "help")}
        if "type" in options:
            options["type"] = _TYPES[options["type"]]
        if isinstance(options.get("choices"), str):
            options["choices"] = _choices(options["choices"])
        if names == ["--json"]:
            _add_json(parser, help_)
        else:
            parser.add_argument(*names, help=help_ or argparse.SUPPRESS, **options)


def _add_json(parser: argparse._ActionsContainer, what: str) -> None:
    """Add ``--json``: 2 for today's version of what is printed, 1 for the one before."""
    parser.add_argument("--json", action="store_const", const=2, default=0, help=what)
    for version in (1, 2):
        parser.add_argument(
            f"--json={version}",
            dest="json",
            action="store_const",
            const=version,
            help=argparse.SUPPRESS,
        )


def _choices(what: str) -> Sequence[str]:
    """What ``emit`` writes, or the languages of configuration; few subcommands need either."""
    if what == "formats":
        from capadvise.report.pages import FORMATS

        return tuple(FORMATS)
    from capadvise.config import RENDERED

    return tuple(name for name, each in RENDERED.items() if not each.for_command)


def _files() -> str:
    """The kinds of files that ``check`` reads."""
    from capadvise.config import languages

    *titles, title = (language.title for language in languages("read"))
    return f"{', '.join(titles)} or {title}"


def subcommands(
    parser: argparse.ArgumentParser,
) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """The subcommands of a parser: name, summary, and the parser of each."""
    for action in parser._actions:  # argparse has no public way to look into a parser
        if isinstance(action, argparse._SubParsersAction):
            summaries = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, child in action.choices.items():
                yield name, summaries[name], child
