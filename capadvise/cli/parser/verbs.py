"""The base of all subcommands' parsers."""

from __future__ import annotations

import argparse
import math
import os
import sys
from typing import NoReturn, TypeAlias

from capadvise.model.errors import Exit
from capadvise.model.escape import printable


class Parser(argparse.ArgumentParser):
    """Prints errors in the form that all of capadvise uses."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(Exit.USAGE, f"capadvise: error: {printable(message)}\n")


class Help(argparse.RawDescriptionHelpFormatter):
    """Gets its width without ``shutil``, which would make each command slower: it loads four
    compression libraries."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    """The width of the terminal, by the rules of ``shutil.get_terminal_size``."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):  # none, or closed
        return 80


Verbs: TypeAlias = "argparse._SubParsersAction[Parser]"
"""The object to which subcommands are added; argparse has no public name for it."""


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


def verb(verbs: Verbs, name: str, usage: str, what: str, notes: str = "") -> Parser:
    """Add a subcommand. ``usage`` is what follows its name, ``what`` says in half a sentence what
    it does, ``notes`` are printed below the options as they stand."""
    parent = verbs._prog_prefix
    return verbs.add_parser(
        name,
        help=what,
        description=f"{what[:1].upper()}{what[1:]}.",
        usage=f"{parent} {name} {usage}".rstrip(),
        epilog=notes,
        formatter_class=Help,
    )
