"""The base of all subcommands' parsers."""

import argparse
import math
import os
import sys
from functools import cached_property
from typing import Any, NoReturn

from capadvise.model.caps import Cap
from capadvise.model.errors import Exit
from capadvise.model.escape import printable

MORE = "more options"
"""The title of the group of options that few people need."""


class Parser(argparse.ArgumentParser):
    """Prints errors in the form that all of capadvise uses, with what was probably meant; ``error``
    of the subcommand, not of the whole program, says what it does not know."""

    def error(self, message: str, hint: str = "") -> NoReturn:
        message = message.replace("ignored explicit argument", "takes no value:")
        if message.startswith("the following arguments are required"):
            from capadvise.cli.parser.hints import misspelt

            message, hint = misspelt(self, self._words) or (message, hint)
        self.print_usage(sys.stderr)
        said = f"capadvise: error: {printable(message)}\n"
        self.exit(
            Exit.USAGE, f"{said}capadvise: hint: {printable(hint or f'{self.prog} --help')}\n"
        )

    @cached_property
    def more(self) -> argparse._ArgumentGroup:
        """The options that few people need: a group of their own, below the usual ones."""
        self._optionals.title = "usual options"
        return self.add_argument_group(MORE)

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        self._words = sys.argv[1:] if args is None else args
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            from capadvise.cli.parser.hints import unknown_words  # only errors need it

            self.error(*unknown_words(self, unknown))
        return known, unknown

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if action.choices is not None and value not in action.choices:
            from capadvise.cli.parser.hints import unknown_value

            self.error(*unknown_value(self, action, str(value)))

    def _get_option_tuples(self, option_string: str) -> list[Any]:
        """Without ``--json=1``, which would make an abbreviated ``--js`` ambiguous."""
        tuples = super()._get_option_tuples(option_string)
        return [each for each in tuples if "=" not in each[1]]


class Help(argparse.HelpFormatter):
    """Gets its width without ``shutil``, which would make each command slower: it loads four
    compression libraries."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=columns() - 2)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Wrap paragraphs; examples and what is indented stay as they are."""
        import textwrap

        return "\n\n".join(
            block
            if block.startswith((" ", "example"))
            else textwrap.fill(" ".join(block.split()), width)
            for block in text.strip("\n").split("\n\n")
        )


def columns() -> int:
    """The width of the terminal, by the rules of ``shutil.get_terminal_size``."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):  # none, or closed
        return 80


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 10 * 365 * 86400.0


def seconds(text: str) -> float:
    """A time: seconds, or with a unit. Raises ArgumentTypeError for what is none."""
    unit = _UNITS.get(text[-1:], 0)
    try:
        number = float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= _LONGEST:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time: seconds, or 90s, 10m, 2h, 7d; ten years at most"
        )
    return number


def capability(text: str) -> Cap:
    """A capability by its name. Raises ArgumentTypeError for another word."""
    try:
        return Cap.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def set_name(text: str) -> str:
    """A value of ``--set``; ``floor`` was the word for the minimal set."""
    if text != "floor":
        return text
    renamed("--set floor", "--set minimal")
    return "minimal"


def renamed(old: str, new: str) -> None:
    """Say that an old spelling, which goes on working, has another name now."""
    print(f"capadvise: {old} is now {new}", file=sys.stderr)
