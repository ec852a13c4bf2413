"""Words of a traced process in a command line that can be pasted."""

import os
import shlex
from collections.abc import Iterable

from capadvise.model.escape import printable


def join(words: Iterable[str]) -> str:
    """One line, of which the shell makes these words again and nothing else."""
    return " ".join(map(quote, words))


def quote(word: str) -> str:
    """The word, in quotes if it needs them. A character that could steer a terminal or a CI job
    becomes an escape, in quotes that bash, ksh and zsh know (``$'…'``)."""
    if printable(word) == word:
        return shlex.quote(word)
    escaped = "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b"\\':#" else f"\\{byte:03o}"
        for byte in _bytes(word)
    )
    return f"$'{escaped}'"


def _bytes(word: str) -> bytes:
    """The kernel's bytes; a report can also hold what no kernel could."""
    try:
        return os.fsencode(word)
    except UnicodeEncodeError:
        return word.encode(errors="replace")
