"""What subcommands have in common."""

from __future__ import annotations

import argparse
import math
import sys
from typing import NoReturn, TypeAlias

from capadvise.errors import Exit
from capadvise.report.escape import printable


class Parser(argparse.ArgumentParser):
    """Says what is wrong as all of capadvise does."""

    def error(self, message: str) -> NoReturn:
        """Wrong use."""
        self.print_usage(sys.stderr)
        self.exit(Exit.USAGE, f"capadvise: error: {printable(message)}\n")


Verbs: TypeAlias = "argparse._SubParsersAction[Parser]"
"""What subcommands are added to; argparse has no public name for it."""


def seconds(text: str) -> float:
    """A time. Raises ArgumentTypeError for what is none."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
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
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
