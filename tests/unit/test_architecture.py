"""What keeps the code readable, counted: sizes, branches, names, and who loads libc."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import capadvise

ROOT = Path(capadvise.__file__).parent
TREES = {
    str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))
}
NODES = [(path, node) for path, tree in TREES.items() for node in ast.walk(tree)]
TESTS = {
    path.relative_to(ROOT.parent).as_posix(): ast.parse(path.read_text())
    for path in sorted((ROOT.parent / "tests").rglob("*.py"))
}
LINES, FUNCTION_LINES, COMPLEXITY = 350, 60, 15
TEST_COMPLEXITY = 25
"""Each assertion is a branch."""
TABLES = {"tests/programs/triggers.py", "tests/programs/retried.py", "tests/kernels/table.py"}
"""As the tests of a module, these are long because the tables are: a row is found where its like
are, and nobody reads them from the top."""

COMPLEX = {
    "linux/posture/cbpf.py:run": "an interpreter: one branch for each kind of instruction",
    "linux/engines/cli/container.py:_container": "each field of an engine's answer may be absent",
    "linux/ftrace/event_order.py:_read": "the hot loop: a call for each event is too slow",
}
"""What has to branch more often, and why."""
_BRANCHES = (
    *(ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.Assert),
    *(ast.comprehension, ast.match_case),
)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def functions(trees: Mapping[str, ast.AST]) -> Iterator[tuple[str, ast.AST, int]]:
    """Of each function: where, what, and how many lines it has."""
    for path, tree in trees.items():
        todo = [tree]
        while todo:  # statements alone: expressions are nine of ten nodes
            node = todo.pop()
            if isinstance(node, _FUNCTIONS):
                yield f"{path}:{node.name}", node, (node.end_lineno or 0) - node.lineno + 1
            for part in ("body", "orelse", "finalbody", "handlers", "cases"):
                todo += getattr(node, part, ())


def complexity(node: ast.AST) -> int:
    """Cyclomatic, by McCabe. What a function defines inside counts for itself."""
    count = 1
    todo = list(ast.iter_child_nodes(node))
    while todo:
        part = todo.pop()
        if isinstance(part, _FUNCTIONS):
            continue
        count += isinstance(part, _BRANCHES)
        if isinstance(part, ast.BoolOp):
            count += len(part.values) - 1
        if isinstance(part, ast.comprehension):
            count += len(part.ifs)
        todo += ast.iter_child_nodes(part)
    return count


def test_no_file_is_too_long() -> None:
    files = [ROOT / path for path in TREES] + [ROOT.parent / path for path in TESTS]
    sizes = {
        path.relative_to(ROOT.parent).as_posix(): len(path.read_text().splitlines())
        for path in files
        if not path.name.startswith("test_")
    }
    long = {path for path, size in sizes.items() if size > LINES}
    assert long - TABLES == set()


def test_no_function_is_too_long() -> None:
    everywhere = TREES | TESTS
    assert {name: size for name, _, size in functions(everywhere) if size > FUNCTION_LINES} == {}


def test_no_function_branches_too_often() -> None:
    counts = {name: complexity(node) for name, node, _ in functions(TREES)}
    branching = {name for name, count in counts.items() if count > COMPLEXITY}
    assert branching - COMPLEX.keys() == set()


def test_no_function_of_the_tests_branches_too_often() -> None:
    long = ((name, node) for name, node, lines in functions(TESTS) if lines > 8)
    counts = {name: complexity(node) for name, node in long}
    assert {name for name, count in counts.items() if count > TEST_COMPLEXITY} == set()


def test_no_class_name_has_two_meanings() -> None:
    places = defaultdict(list)
    for path, node in NODES:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            places[node.name].append(path)
    ambiguous = {name: paths for name, paths in places.items() if len(paths) > 1}
    assert ambiguous == {}


def test_libc_is_loaded_in_one_place() -> None:
    loading = {
        path
        for path, node in NODES
        if isinstance(node, ast.Attribute) and node.attr in ("CDLL", "PyDLL")
    }
    assert loading == {"linux/kernel/libc.py"}
