"""The command line: dispatch and exit codes. The only module that exits.

Commands are imported when they are called: ``explain`` must not pay for ``run``.
"""

from __future__ import annotations

import errno
import importlib
import io
import keyword
import os
import sys
from collections.abc import Sequence

from capadvise.errors import CapadviseError, Exit
from capadvise.parser import build_parser
from capadvise.report.escape import printable


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand and return the exit code; errors become one line, with a way out."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # latin-1 has no arrow
    args = build_parser().parse_args(argv)
    name = f"{args.subcommand}_" if keyword.iskeyword(args.subcommand) else args.subcommand
    module = importlib.import_module(f"capadvise.commands.{name}")
    try:
        code = int(module.command(args))
        if sys.stdout is not None:  # closed by the caller
            sys.stdout.flush()
        return code
    except CapadviseError as error:
        print(f"capadvise: error: {printable(str(error))}", file=sys.stderr)
        if error.hint:
            print(f"capadvise: hint: {printable(error.hint)}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        return int(Exit.INTERRUPTED)
    except BrokenPipeError:
        _close_stdout()
        return 128 + 13
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _close_stdout()
        print(f"capadvise: error: cannot write: {error.strerror}", file=sys.stderr)
        return int(Exit.USAGE)


def _close_stdout() -> None:
    """So that Python's own flush is quiet."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


if __name__ == "__main__":
    sys.exit(main())
