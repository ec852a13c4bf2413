"""SECURITY.md names a test for each promise."""

from __future__ import annotations

import re
from pathlib import Path

import capadvise

PROMISES = (Path(capadvise.__file__).parent / "SECURITY.md").read_text()
TESTS = Path(__file__).parents[1]
NAMED = re.compile(r"`(test_\w+)`")


def test_the_tests_of_the_promises_exist() -> None:
    defined = re.compile(r"^def (test_\w+)", re.MULTILINE)
    there = {
        name for path in TESTS.rglob("test_*.py") for name in defined.findall(path.read_text())
    }
    named = set(NAMED.findall(PROMISES))
    assert len(named) > 20
    assert named - there == set()


def test_each_promise_names_a_test() -> None:
    """A row of the first table each, and a paragraph that begins in bold."""
    _, _, promised = PROMISES.partition("\n## What it promises")
    promised, _, _ = promised.partition("\n`python -m tests.faults.matrix` tests all of it")
    rows = re.findall(r"^\| (?!\||---).*", promised, re.MULTILINE)
    paragraphs = re.findall(r"^\*\*.+(?:\n.+)+", promised, re.MULTILINE)  # a heading is one line
    assert len(rows) > 8
    assert len(paragraphs) > 5
    assert [one for one in rows + paragraphs if not NAMED.search(one)] == []
