"""The command line: dispatch and exit codes. The only module that exits.

Commands are imported when they are called: ``explain`` must not pay for ``run``.
"""

from __future__ import annotations

import errno
import gc
import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
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
        # Modules and threads fail in many ways for want of memory.
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
    args = build_parser(*words[:1]).parse_args(words)
    code = COMMANDS[args.subcommand](args)
    sys.stdout.flush()
    if argv is None:
        gc.freeze()  # else Python searches everything for garbage before it ends: 15 ms
    return int(code)


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
    """So that Python's own flush is quiet."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _attach(args: Namespace) -> int:
    from capadvise.cli.commands.attach import command

    return command(args)


def _catalog(args: Namespace) -> int:
    from capadvise.cli.commands.catalog import command

    return command(args)


def _check(args: Namespace) -> int:
    from capadvise.cli.commands.check import command

    return command(args)


def _completions(args: Namespace) -> int:
    from capadvise.cli.commands.completions import command

    return command(args)


def _diff(args: Namespace) -> int:
    from capadvise.cli.commands.diff import command

    return command(args)


def _doctor(args: Namespace) -> int:
    from capadvise.cli.commands.doctor import command

    return command(args)


def _emit(args: Namespace) -> int:
    from capadvise.cli.commands.emit import command

    return command(args)


def _explain(args: Namespace) -> int:
    from capadvise.cli.commands.explain import command

    return command(args)


def _help(args: Namespace) -> int:
    from capadvise.cli.commands.help import command

    return command(args)


def _import(args: Namespace) -> int:
    from capadvise.cli.commands.import_ import command

    return command(args)


def _inspect(args: Namespace) -> int:
    from capadvise.cli.commands.inspect import command

    return command(args)


def _known(args: Namespace) -> int:
    from capadvise.cli.commands.known import command

    return command(args)


def _kubernetes(args: Namespace) -> int:
    from capadvise.cli.commands.kubernetes import command

    return command(args)


def _merge(args: Namespace) -> int:
    from capadvise.cli.commands.merge import command

    return command(args)


def _prove(args: Namespace) -> int:
    from capadvise.cli.commands.prove import command

    return command(args)


def _review(args: Namespace) -> int:
    from capadvise.cli.commands.review import command

    return command(args)


def _run(args: Namespace) -> int:
    from capadvise.cli.commands.run import command

    return command(args)


def _watch(args: Namespace) -> int:
    from capadvise.cli.commands.watch import command

    return command(args)


COMMANDS: dict[str, Callable[[Namespace], int]] = {
    "attach": _attach,
    "catalog": _catalog,
    "check": _check,
    "completions": _completions,
    "diff": _diff,
    "doctor": _doctor,
    "emit": _emit,
    "explain": _explain,
    "help": _help,
    "import": _import,
    "inspect": _inspect,
    "known": _known,
    "kubernetes": _kubernetes,
    "merge": _merge,
    "prove": _prove,
    "review": _review,
    "run": _run,
    "watch": _watch,
}
