"""The command line: dispatch and exit codes. The only module that exits.

Commands are imported when they are called: ``explain`` must not pay for ``run``.
"""

from __future__ import annotations

import errno
import gc
import io
import keyword
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from capadvise.kernel import odd_start
from capadvise.model.errors import CapadviseError, Exit
from capadvise.model.escape import printable

if TYPE_CHECKING:
    from argparse import Namespace


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand and return the exit code; errors become one line, with a hint."""
    try:
        return _call(argv)
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
        if error.errno not in _EXHAUSTED:
            raise
        what, hint = _EXHAUSTED[error.errno]
        where = f" {error.filename}" if error.filename else ""
        return _exhausted(f"{what}{where}: {error.strerror}", hint)
    except (MemoryError, RuntimeError, ImportError, SystemError) as error:
        # Without memory, modules and threads fail in many ways.
        known = isinstance(error, MemoryError) or "can't start new thread" in str(error)
        if not known and not odd_start.is_limited():
            raise
        hint = "raise ulimit -v and ulimit -u, and pids.max of the control group"
        code = _exhausted(str(error) or "out of memory", hint)
        sys.stderr.flush()
        os._exit(code)  # threads that end now would need memory


def kubectl_main() -> int:
    """``kubectl capadvise``: kubectl calls a program of the name ``kubectl-capadvise``."""
    sys.argv[1:1] = ["kubernetes"]
    return main()


def _call(argv: Sequence[str] | None) -> int:
    if argv is None:  # the process is ours
        gc.set_threshold(50_000)  # while modules are loaded, nothing becomes garbage
    from capadvise.cli.parser import build_parser

    odd_start.fill_streams()
    odd_start.lift_limits()
    odd_start.require()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # latin-1 has no arrow
    words = sys.argv[1:] if argv is None else argv
    args = build_parser(*words[:1]).parse_args(words or ["help", "start"])
    try:
        code = command_of(args.subcommand)(args)
    except CapadviseError as error:
        from capadvise.cli.files import wrong_file  # only errors need it

        if wrong := wrong_file(args):
            raise wrong from error
        raise
    sys.stdout.flush()
    if argv is None:
        gc.freeze()  # else Python searches everything for garbage before it ends: 15 ms
    return int(code)


def command_of(subcommand: str) -> Callable[[Namespace], int]:
    """The function of a subcommand, from the module of its name in ``commands``."""
    name = f"{subcommand}_" if keyword.iskeyword(subcommand) else subcommand
    command: Callable[[Namespace], int] = import_module(f"capadvise.cli.commands.{name}").command
    return command


_EXHAUSTED = {
    errno.ENOSPC: ("cannot write", None),
    errno.EMFILE: ("cannot open a file", f"raise ulimit -n by {odd_start.NEEDED_DESCRIPTORS}"),
    errno.ENFILE: ("cannot open a file", "see sysctl fs.file-max"),
    errno.ENOMEM: ("out of memory", "raise ulimit -v"),
}


def _exhausted(text: str, hint: str | None) -> int:
    _close_stdout()
    print(f"capadvise: error: {printable(text)}", file=sys.stderr)
    if hint:
        print(f"capadvise: hint: {hint}", file=sys.stderr)
    return int(Exit.USAGE)


def _close_stdout() -> None:
    """Keep Python's own flush at exit from failing."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
