"""Everything that a person reads calls one thing by one name, that of the field, in plain order."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

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


PATTERNS = {
    r"(?<=[.;:] )who (?=[a-z])": "name the actor: no clause begins with 'who'",
    r"(?<=[.;] )what (?=[a-z])(?![^.]*\?)": "name the thing: no clause begins with 'what'",
    r"(?<=[.;] )of (an?|the|what|these|those|it|them|one|two|all|each) ": "begin with the subject",
    r"so (is|are|does|do|has|have) (it|they|the|a|what)\b(?! expan)": "the same holds for …",
    r"(?<!neither )nor\b": "neither … nor, or two sentences",
    r"besides\b": "also",
    r"meanwhile\b": "during …, while …",
    r"told\b": "shown, reported, stopped",
    r"in there\b": "name the place",
    r"is of (?!uid)": "has, belongs to, describes",
    r"(for )?want of\b": "because … is missing",
    r"the like\b": "similar …, such as …",
    r"(?<=[.;:] )whoever\b": "a program that …, a user who …",
    r"asked of\b": "checked against",
    r"unasked\b": "by default",
    r"as good as\b": "equivalent",
    r"in vain\b": "without success",
    r"floors?\b(?!:)": "minimal set",
    r"tolerated\b": "optional",
    r"advisory\b": "incidental",
    r"unused\b(?!-)": "not checked",
    r"needs? nothing\b(?! (else|prepared))": "needs no capability, none",
}
"""How a clause begins that needs a second reading, and words for a verdict that are no more → what
to write."""
ORDINARY = {
    ("io.capadvise.floor", "floor"): "the key of a label, which images in use have",
    ("--set floor", "floor"): "the old spelling, which goes on working",
    **dict.fromkeys(
        [(f"`{word}` for ", word) for word in ("tolerated", "advisory", "unused", "floor")],
        "a word of version 1",
    ),
    ("| advisory |", "advisory"): "the name of a meaning in the catalog's rules",
    ("meaning advisory", "advisory"): "the same",
    ("meaning: advisory", "advisory"): "the same",
    ("Who does what", "who "): "a heading",
}
"""(text around it, match) → why it stays."""
GENERATED = ("capabilities", "command-line", "known", "report", "sites")
"""Pages made of other files, or mended elsewhere."""
PROGRAMS = sorted(TOP.glob("capadvise/**/*.py"))
PAGES = [
    path
    for pattern in ("capadvise/**/*.md", "demos/**/*.md")
    for path in sorted(TOP.glob(pattern))
    if path.stem not in GENERATED
]


def programs() -> Iterator[tuple[Path, str]]:
    """The texts of each program: what it prints, its documentation and its comments."""
    for path in PROGRAMS:
        source = path.read_text()
        for node in ast.walk(ast.parse(source)):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and " " in text.strip():
                yield path, text
        for block in re.findall(r"(?m)(?:^ *# .*\n)+|  # .*$", source):
            yield path, re.sub(r"(?m)^ *# ", "", block).strip(" #")


def pages() -> Iterator[tuple[Path, str]]:
    """The prose of each page, without code, and without what capadvise prints."""
    for path in PAGES:
        text = re.sub(r"(?s)```.*?```", "", path.read_text())
        yield path, re.sub(r"`[^`]*`|\]\([^)]*\)", "``", text)


def catalog() -> Iterator[tuple[Path, str]]:
    """The facts, without commands and the keys of programs."""
    for path in sorted(TOP.glob("catalog/**/*.yaml")):
        yield path, re.sub(r"(?m)^ *((floor|command):.*$|advisory:)", "", path.read_text())


@pytest.mark.parametrize("texts", [programs, pages, catalog])
def test_a_sentence_has_plain_order(texts: type[Iterator[tuple[Path, str]]]) -> None:
    assert [line for path, text in texts() for line in disordered(text, path)] == []


def disordered(text: str, path: Path) -> Iterator[str]:
    """Where a text has one of these patterns, and what to write."""
    text = re.sub(r"``[^`]+``", "``", " ".join(text.split()))
    if re.fullmatch(r"(What|Who) [^.;:]*:?", text):
        return  # a heading
    text = f". {text}" if text[:1].isupper() else f"  {text}"
    for pattern, better in PATTERNS.items():
        for match in re.finditer(pattern, text, re.IGNORECASE):
            around = text[max(0, match.start() - 70) : match.end() + 50]
            if text[match.start() - 1].isalnum() or "neither " in around.lower():
                continue
            if not any(near in around and match[0].lower() == word for near, word in ORDINARY):
                yield f"{path.relative_to(TOP)}: …{around}…: {better}"


@pytest.mark.parametrize(
    "sentence",
    [
        "Who may not do that needs these rights.",
        "It is off. What gives it back is looked for.",
        "Of a unit, nothing is kept.",
        "It stays. So is it with units.",
        "It is not stopped. Nor is it killed.",
        "What others need besides.",
        "The report is of web.",
        "It was told to stop.",
        "The floor is minimal.",
        "A redis needs nothing.",
    ],
)
def test_a_pattern_is_seen(sentence: str) -> None:
    assert [*disordered(sentence, FILES[0])]


@pytest.mark.parametrize(
    "sentence",
    ["It is neither read nor written.", "An attacker who can run code.", "It shows what it needs."],
)
def test_plain_words_are_none(sentence: str) -> None:
    assert not [*disordered(sentence, FILES[0])]
