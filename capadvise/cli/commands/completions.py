"""``capadvise completions``: what a shell needs to complete commands, options and files."""

import argparse
from collections.abc import Iterator

from capadvise.cli.manual import TOPICS
from capadvise.cli.parser import build_parser, subcommands
from capadvise.model.caps import NAMES
from capadvise.model.errors import BadInput, Exit

try:
    import shtab
except ImportError as error:  # the single file has none: MPL
    raise BadInput("completions need the Python module shtab", hint="pip install shtab") from error


def command(args: argparse.Namespace) -> int:
    """Print the script for a shell."""
    print(script(args.shell))
    return Exit.OK


def script(shell: str) -> str:
    parser = build_parser()
    for action in _actions(parser):
        if action.dest == "topic":
            action.choices = tuple(TOPICS)
        elif action.metavar == "CAP":
            action.choices = NAMES
        elif action.metavar in _COMPLETED:
            # An attribute of shtab's, of which argparse knows nothing.
            action.complete = _COMPLETED[action.metavar]  # type: ignore[attr-defined]
    return str(shtab.complete(parser, shell=shell))


_ALL = " ".join(NAMES)
_COMPLETED: dict[object, object] = {
    **dict.fromkeys(("REPORT", "FILE", "A", "B", "REPORT|DIR", "WORKLOAD.yaml|REPORT"), shtab.FILE),
    "COMMAND": shtab.FILE,  # most of its words are files
    "CAP|REPORT": {
        **dict.fromkeys(("bash", "zsh"), "_capadvise_explained"),
        "fish": "(_capadvise_explained)",
        "preamble": {
            "bash": f"_capadvise_explained() {{ compgen -W '{_ALL}' -- $1; compgen -f -- $1; }}",
            "zsh": "_capadvise_explained() {\n"
            f"  _alternative 'caps:capability:({_ALL})' 'files:report:_files'\n}}",
            "fish": "function _capadvise_explained\n"
            f"  printf '%s\\n' {_ALL}\n  __fish_complete_path (commandline -ct)\nend",
        },
    },
}
"""The name of a value → what shtab completes for it."""


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    yield from (a for a in parser._actions if not isinstance(a, argparse._SubParsersAction))
    for _, _, child in subcommands(parser):
        yield from _actions(child)
