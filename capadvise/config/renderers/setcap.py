"""setcap: capabilities for the program's file, so that any user who starts it has them."""

from __future__ import annotations

from capadvise.config import shell
from capadvise.config.snippet import SETCAP_UNTRIED, Snippet, comment


def render(snippet: Snippet) -> str:
    """One command. Capabilities of a script do nothing, and no_new_privs makes all void."""
    file = "PROGRAM: the file that the container or the unit runs; for a container, in its image"
    notes = (
        *([file] if snippet.by_manager else []),
        "for users other than root; a script runs with the file capabilities of its interpreter, "
        "and no_new_privs makes file capabilities void",
        SETCAP_UNTRIED,
    )
    reasons = [comment(f"{cap.short}: {reason}") for cap, reason in snippet.caps]
    head = "".join((snippet.comments(more=notes), *reasons))
    if not snippet.caps:
        return f"{head}# no capability is needed: the file needs none\n"
    return f"{head}setcap {snippet.file_capabilities} {_file(snippet)}\n"


def _file(snippet: Snippet) -> str:
    """The program behind a name and behind links: setcap takes only the file itself."""
    if snippet.by_manager:
        return "PROGRAM"
    program = snippet.argv[0] if snippet.argv else snippet.name
    if "/" in program:
        return f'"$(readlink -f -- {shell.quote(program)})"'
    return f'"$(readlink -f -- "$(command -v -- {shell.quote(program)})")"'
