"""The command line's arguments: one function for each subcommand. ``cli`` calls the module of
``commands`` that has its name.

For others: ``build_parser``, ``subcommands``, ``VERBS``; and ``verbs``, ``observing``, ``reading``,
``hints``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

from capadvise import __version__
from capadvise.cli.parser import kubernetes, observing, reading
from capadvise.cli.parser.verbs import Help, Parser, Verbs

_DESCRIPTION = """\
Finds the smallest set of Linux capabilities that a program needs, and shows why.

  capadvise run -- nginx -g 'daemon off;'          record a command, get the set
  capadvise explain SYS_ADMIN                      what it is, what to do instead
  capadvise emit REPORT.json --format compose      the snippet to paste
  capadvise help                                   documentation pages
"""
_EXIT_CODES = """\
run exits as its target did, with 128+n where signal n ended it. With --prove, where there was no
target, and for all other commands, the exit code says:

  0    done
  1    no: the gate failed (check), not proven (prove, run --prove), the check did
       not pass (attach), the recommended sets differ (diff), or an answer was
       wrong (doctor --self-test)
  2    wrong use, or a file that cannot be used
  3    nothing can be observed here
  126  the command cannot be executed
  127  there is no such command
  130  interrupted; the report is kept
"""


VERBS: dict[str, Callable[[Verbs], None]] = {
    "run": observing.run,
    "attach": observing.attach,
    "watch": observing.watch,
    "prove": observing.prove,
    "review": reading.review,
    "emit": reading.emit,
    "explain": reading.explain,
    "inspect": observing.inspect,
    "check": reading.check,
    "merge": reading.merge,
    "diff": reading.diff,
    "import": observing.import_,
    "kubernetes": kubernetes.kubernetes,
    "doctor": observing.doctor,
    "known": reading.known,
    "catalog": reading.catalog,
    "help": reading.help_,
    "completions": reading.completions,
}
"""The functions that add the subcommands, in the order of the help."""


def build_parser(only: str = "") -> argparse.ArgumentParser:
    """All subcommands on one screen; or ``only`` one, if there is one of this name: to make them
    all takes 10 ms."""
    parser = Parser(
        prog="capadvise",
        description=_DESCRIPTION,
        epilog=_EXIT_CODES,
        formatter_class=Help,
    )
    parser.add_argument("--version", action="version", version=f"capadvise {__version__}")
    verbs = parser.add_subparsers(
        dest="subcommand", required=True, metavar="COMMAND", prog="capadvise"
    )
    for add in [VERBS[only]] if only in VERBS else VERBS.values():
        add(verbs)
    return parser


def subcommands(
    parser: argparse.ArgumentParser,
) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """The subcommands of a parser: name, summary, and the parser of each."""
    for action in parser._actions:  # argparse has no public way to look into a parser
        if isinstance(action, argparse._SubParsersAction):
            summaries = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, child in action.choices.items():
                yield name, summaries[name], child
