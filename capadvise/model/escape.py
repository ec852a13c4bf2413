"""Text that came from a traced process, made safe to show. Names and paths are hostile input."""

import re
import unicodedata

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Control characters, direction overrides, surrogates, unassigned, line separators."""
_LOG_COMMAND = (  # compiled when first used
    r":(?=:(?:add-|remove-|save-|set-|stop-|internal-|debug|echo|error|warning|notice|group|endgroup))"
    r"|#(?=#(?:vso|teamcity)?\[)"
)
"""The beginning of a command in the log of a CI job: GitHub's, Azure's, TeamCity's. Some accept it
only at the start of a line, but a line of ours can be wrapped anywhere."""


def printable(text: str) -> str:
    """Escape everything in the text that could control a terminal or a CI job, or break a line."""
    safe = "".join(map(_escaped, text))
    return re.sub(_LOG_COMMAND, lambda match: f"\\x{ord(match[0]):02x}", safe)


def _escaped(char: str) -> str:
    if unicodedata.category(char) in _UNSAFE:
        return char.encode("unicode_escape").decode()
    return char
