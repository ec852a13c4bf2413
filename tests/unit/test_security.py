"""SECURITY.md names a test for each promise."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import capadvise

PROMISES = (Path(capadvise.__file__).parent / "SECURITY.md").read_text()
TESTS = Path(__file__).parents[1]


def test_the_tests_of_the_promises_exist() -> None:
    there = {
        node.name
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    named = set(re.findall(r"`(test_\w+)`", PROMISES))
    assert len(named) > 20
    assert named - there == set()
