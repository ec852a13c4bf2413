"""The command line's arguments: one function for each subcommand. ``cli`` calls what they name."""

from __future__ import annotations

import argparse

from capadvise import __version__
from capadvise.parser import knowledge, observing, reports
from capadvise.parser.verbs import Parser

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


def build_parser() -> argparse.ArgumentParser:
    """All subcommands on one screen."""
    parser = Parser(
        prog="capadvise",
        description=_DESCRIPTION,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"capadvise {__version__}")
    verbs = parser.add_subparsers(
        dest="subcommand", required=True, metavar="COMMAND", prog="capadvise"
    )
    for add in (
        *(observing.run, observing.attach, observing.prove),
        *(reports.review, reports.emit, reports.explain, observing.inspect),
        *(reports.check, reports.merge, reports.diff, observing.import_, observing.doctor),
        *(knowledge.catalog, knowledge.help_, knowledge.completions),
    ):
        add(verbs)
    return parser
