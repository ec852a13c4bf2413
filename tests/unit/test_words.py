"""Everything that a person reads calls one thing by one name, that of the field."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).parents[2]
FORBIDDEN = {
    r"asked (for )?in passing": "incidental (checked, the result has no effect)",
    r"in passing": "incidental",
    r"the kernel (never )?asked": "N capability checks; not checked",
    r"never asked": "not checked",
    r"as good as root": "root-equivalent",
    r"concluded from": "inferred from",
    r"insists? on": "calls capset(2) with a fixed set",
    r"demanding to hold": "calls capset(2) with a fixed set",
    r"is unproven": "absence is unconfirmed",
    r"different checks than": "limit of distinct checks reached",
    r"no screens": "disable the TUI",
    r"ways? out\b": "remediation; do this instead",
    r"instead of it, ": "alternative",
    r"asked of the host": "checked against the host's user namespace",
    r"out of sight": "was not observed",
    r"trial shot": "self-check",
    r"(is|was|are) not told\b": "unknown",
    r"comes? of\b": "comes from; results from",
    r"let go of\b": "detached; released",
    r"told apart\b": "distinguished",
    r"nothing hangs": "the result is ignored",
    r"(may|can) go on with more": "may keep running privileged",
    r"refused, though": "denied, no effect",
    r"all the same": "anyway",
    r"somebody else": "another user, another process",
    r"anew\b": "again",
    r"is there for writing": "is mounted writable",
    r"question of the kernel": "capability check",
    r"hang(s)? on the answer": "depends on the result",
}
"""What is not to be said, from the start of a word on → what is said."""
FILES = sorted(
    path
    for pattern in (
        "README.md",
        "capadvise/**/*.py",
        "capadvise/**/*.md",
        "catalog/**/*.yaml",
        "demos/**/*.md",
        "demos/**/*.yaml",
    )
    for path in TOP.glob(pattern)
)


def test_nobody_reads_what_is_not_to_be_said() -> None:
    assert [line for path in FILES for line in said_in(path.read_text(), path)] == []


def said_in(text: str, path: Path) -> Iterator[str]:
    """Where a text has which of these words, and what to say."""
    text = text.lower()
    for phrase, better in FORBIDDEN.items():
        for match in re.finditer(phrase.replace(" ", r"\s+"), text):
            if text[match.start() - 1 : match.start()].isalnum():
                continue  # amid a word; a pattern that began so would be slow to search for
            line = text.count("\n", 0, match.start()) + 1
            yield f"{path.relative_to(TOP)}:{line}: {match[0]!r}: say {better}"


def test_the_words_are_seen_across_lines_and_in_capitals() -> None:
    said = list(said_in("x\nIn\n  passing, so\nLET GO of it\n", FILES[0]))
    assert [line.partition(": ")[2] for line in said] == [
        r"'in\n  passing': say incidental",
        "'let go of': say detached; released",
    ]
