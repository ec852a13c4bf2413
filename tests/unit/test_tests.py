"""What holds of the tests themselves."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import measured, rooms
from tests.support.required import tool
from tests.support.terminal import Terminal

TESTS = Path(__file__).parents[1]
OF_TESTS = re.compile(r"^\s*(from \.|(from|import) tests\b(?!\.support\b))", re.MULTILINE)
"""What may import from a test. To parse what takes from tests/support alone takes half a second."""
PACKAGES = {path.parent.name for path in TESTS.glob("*/test_*.py")}
"""Those that hold tests. Programs (``bench``, ``kernels`` …) may run what tests run."""


def imported(source: str, package: str) -> Iterator[str]:
    """What a module of this package imports from below tests, without ``tests.``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            base = f"tests.{package}." if node.level else ""
            base += f"{node.module}." if node.module else ""
            names = [base + alias.name for alias in node.names]
        else:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name.removeprefix("tests.") for name in names if name.startswith("tests."))


def foreign(source: str, package: str) -> list[str]:
    """What a module of this package imports of other tests."""
    return [
        name
        for name in imported(source, package)
        if any(part.startswith("test_") or part == "conftest" for part in name.split("."))
        or (package in PACKAGES and name.split(".")[0] in PACKAGES - {package})
    ]


def test_no_test_imports_from_another_test() -> None:
    """What tests share is in tests/support, or is a helper of their own package."""
    offenders = {
        str(path.relative_to(TESTS)): names
        for path in TESTS.rglob("*.py")
        if OF_TESTS.search(source := path.read_text())  # else there is nothing to parse
        and (names := foreign(source, path.relative_to(TESTS).parts[0]))
    }
    assert offenders == {}


def test_the_rule_sees_each_kind_of_import() -> None:
    source = """
from . import test_c
from .test_b import x
from tests.tui.screens import y
from tests.unit import conftest
from tests.unit.helper import z
from tests.support.wait import until
import tests.kernel.rows
"""
    assert foreign(source, "unit") == [
        *("unit.test_c", "unit.test_b.x", "tui.screens.y", "unit.conftest", "kernel.rows")
    ]
    assert "kernel.rows" not in foreign(source, "kernels")
    seen = [bool(OF_TESTS.match(line)) for line in source.split("\n")]
    assert seen == [
        line not in ("", "from tests.support.wait import until") for line in source.split("\n")
    ]


def test_what_a_terminal_cannot_start_is_no_second_test_run(tmp_path: Path) -> None:
    """The forked child would go on where its parent does, and run the tests that follow."""
    terminal = Terminal(["no-such-shell"], tmp_path)
    assert terminal.end() == 127
    assert "No such file" in terminal.read()


@pytest.mark.parametrize(
    ("variables", "outcome"),
    [
        ({}, pytest.skip.Exception),
        ({"CI": "true"}, pytest.fail.Exception),
        ({"CAPADVISE_REQUIRE_KERNEL": "1"}, pytest.fail.Exception),
    ],
)
def test_a_tool_that_is_absent_skips_the_test_and_fails_it_in_ci(
    variables: dict[str, str], outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CI", "CAPADVISE_REQUIRE_KERNEL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert tool("sh")
    with pytest.raises(outcome, match="no-such-shell is not installed"):
        tool("no-such-shell")


@pytest.mark.parametrize(
    ("path", "room"),
    [
        ("capadvise/judgement/judge.py", "judgement"),
        ("capadvise/report/text.py", "report"),
        ("capadvise/__init__.py", "capadvise"),
        ("capadvise/observe/retry/tracer.py", "observe/retry"),
        ("capadvise/targets/names.py", "targets"),
        ("capadvise/targets/client/pflag.py", "targets/client"),
    ],
)
def test_coverage_is_counted_by_room(path: str, room: str) -> None:
    assert rooms.room_of(path) == room


@pytest.mark.parametrize(
    ("command", "is_ours"),
    [
        ("-I -S PACKAGE/observe/supervise/launcher.py 3 4 5 /x /y", True),
        ("-P PACKAGE/kernel/own_programs.py /x:/y capadvise.proof.trials.sandbox 1", True),
        ("/venv/bin/capadvise run -- true", True),
        ("-m pytest tests/unit", True),
        ("-m http.server 80", False),
        ("/srv/capadvise/tests/programs/triggers.py", False),
        ("-c import capadvise.cli", False),
    ],
)
def test_coverage_measures_us_and_no_target(command: str, is_ours: bool) -> None:
    """A target that is measured would make checks that are not its own."""
    words = [word.replace("PACKAGE", str(measured.PACKAGE)) for word in command.split()]
    assert measured.ours(words) is is_ours
