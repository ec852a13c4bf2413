"""setcap: capabilities for the program's file, so that any user who starts it has them."""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import PurePath

from capadvise.catalog import default
from capadvise.config import shell
from capadvise.config.snippet import SETCAP_UNTRIED, Snippet, comment
from capadvise.judgement.harm import file_capabilities_refused
from capadvise.model.errors import BadInput
from capadvise.model.escape import printable
from capadvise.model.target import CLIENTS


def render(snippet: Snippet) -> str:
    """One command. Raises BadInput where it would make every user root, or would do nothing."""
    _check(snippet)
    file = "PROGRAM: the file that the container or the unit runs; for a container, in its image"
    notes = (
        *([f"{file}; no shell, no interpreter"] if snippet.by_manager else []),
        "for users other than root; no_new_privs makes file capabilities void",
        SETCAP_UNTRIED,
    )
    reasons = [comment(f"{cap.short}: {reason}") for cap, reason in snippet.caps]
    head = "".join((snippet.comments(more=notes), *reasons))
    if not snippet.caps:
        return f"{head}# no capability is needed: the file needs none\n"
    return f"{head}setcap {snippet.file_capabilities} {_file(snippet)}\n"


def _check(snippet: Snippet) -> None:
    caps = frozenset(cap for cap, _ in snippet.caps)
    names = [] if snippet.by_manager else list(_names(_program(snippet)))
    image = not CLIENTS.isdisjoint(PurePath(word).name for word in snippet.argv)
    why = file_capabilities_refused(caps, names, default(), image=image and snippet.by_manager)
    if why is None and not snippet.by_manager and (script := _script(_program(snippet))):
        why = f"{script} is a script, which has the capabilities of its interpreter"
    if caps and why:
        raise BadInput(
            f"setcap is refused: {printable(why)}",
            hint="--format systemd gives them to one unit, --format setpriv to one start",
        )


def _names(program: str) -> Iterator[str]:
    """The name of the program, and that of the file behind links, if it is on this machine."""
    yield program
    with suppress(ValueError):  # no path has such a name
        yield os.path.realpath(shutil.which(program) or program)


def _script(program: str) -> str | None:
    """The path of a file of this machine that names its interpreter (``#!``)."""
    with suppress(OSError, ValueError):
        path = shutil.which(program) or program
        if stat.S_ISREG(os.stat(path).st_mode):  # opening a device can do something
            with open(path, "rb") as file:
                return path if file.read(2) == b"#!" else None
    return None


def _program(snippet: Snippet) -> str:
    return snippet.argv[0] if snippet.argv else snippet.name


def _file(snippet: Snippet) -> str:
    """The program behind a name and behind links: setcap takes only the file itself."""
    if snippet.by_manager:
        return "PROGRAM"
    program = _program(snippet)
    if "/" in program:
        return f'"$(readlink -f -- {shell.quote(program)})"'
    return f'"$(readlink -f -- "$(command -v -- {shell.quote(program)})")"'
