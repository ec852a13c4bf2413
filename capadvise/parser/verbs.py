"""What subcommands have in common."""

from __future__ import annotations

import argparse
from typing import TypeAlias

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""What subcommands are added to; argparse has no public name for it."""


def verb(
    verbs: Verbs, name: str, usage: str, what: str, notes: str = ""
) -> argparse.ArgumentParser:
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
