"""What keeps the code readable, counted: sizes, branches, names, and who loads libc."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Container, Iterator
from pathlib import Path

import pytest

import capadvise
from capadvise.model import clone_flags
from capadvise.model.recording import Origin
from tests.support.recordings import CATALOG

TOP = Path(capadvise.__file__).parents[1]
TEXTS = {
    path.relative_to(TOP).as_posix(): path.read_text()
    for folder in ("capadvise", "tests")
    for path in sorted((TOP / folder).rglob("*.py"))
}
LINES, FUNCTION_LINES, COMPLEXITY = 800, 60, 15
TEST_COMPLEXITY = 25
"""Each assertion is a branch."""

COMPLEX = {
    "capadvise/kernel/posture/cbpf.py:run": "an interpreter: one branch for each instruction",
    "capadvise/targets/client/container.py:_container": "each field of the answer may be absent",
    "capadvise/observe/ftrace/check_events.py:_read": "the hot loop: calls are too slow",
}
"""What has to branch more often, and why."""
OTHER_NUMBERS = {
    "capadvise/judgement/user_namespace.py",  # MS_PRIVATE … are bits of another call
    "capadvise/kernel/uapi.py",
    "capadvise/kernel/seccomp_program.py",  # the bit of x32's calls
}
_BRANCHES = (
    *(ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.Assert),
    *(ast.comprehension, ast.match_case),
)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_STARTS = re.compile(r"^( *)(?:async )?(def|class) ", re.MULTILINE)
_WORDS = re.compile(r"\b(?:if|elif|for|while|except|assert|and|or|case)\b")


def may_be_large(text: str, branches: int) -> bool:
    """Whether a function of this text may have too many lines or branches, by its indentation and
    by the words that branch. Few may, and to parse all the others takes a second."""
    if any(_STARTS.search(quoted) for quoted in text.split('"""')[1::2]):
        return True  # a program in a text: its indentation says nothing about ours
    starts = list(_STARTS.finditer(text))
    for number, start in enumerate(starts):
        outer = (other for other in starts[number + 1 :] if len(other[1]) <= len(start[1]))
        end = next((other.start() for other in outer), len(text))
        if start[2] == "def" and (
            text.count("\n", start.start(), end) > FUNCTION_LINES
            or len(_WORDS.findall(text, start.start(), end)) >= branches
        ):
            return True
    return False


def functions(path: str, text: str) -> Iterator[tuple[str, int, int]]:
    """Of each function: where it is, how many lines it has, and how complex it is."""
    todo: list[ast.AST] = [ast.parse(text)]
    while todo:  # statements alone: expressions are nine of ten nodes
        node = todo.pop()
        if isinstance(node, _FUNCTIONS):
            lines = (node.end_lineno or 0) - node.lineno + 1
            yield f"{path}:{node.name}", lines, complexity(node)
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


def most(path: str) -> int:
    """How complex a function of this file may be."""
    return TEST_COMPLEXITY if path.startswith("tests/") else COMPLEXITY


@pytest.fixture(scope="module")
def large() -> list[tuple[str, int, int]]:
    """The functions of all files that may have too large ones."""
    return [
        function
        for path, text in TEXTS.items()
        if may_be_large(text, most(path))
        for function in functions(path, text)
    ]


def test_no_file_is_too_long() -> None:
    sizes = {path: len(text.splitlines()) for path, text in TEXTS.items()}
    long = {path for path, size in sizes.items() if size > LINES and "/test_" not in path}
    assert long == set()


def test_no_function_is_too_long(large: list[tuple[str, int, int]]) -> None:
    assert {name: lines for name, lines, _ in large if lines > FUNCTION_LINES} == {}


def test_no_function_branches_too_often(large: list[tuple[str, int, int]]) -> None:
    assert {name for name, _, count in large if count > most(name)} == COMPLEX.keys()


def test_what_is_too_large_is_parsed() -> None:
    """The estimate errs on the safe side."""
    branches = "    if a and b:\n        pass\n" * 8
    lines = "    pass\n" * FUNCTION_LINES
    deep = lines.replace("pass", "    pass")
    nested = f"class A:\n    def f():\n        def g():\n            pass\n{deep}"
    quoted = f'def f():\n    x = """\ndef g(): pass\n"""\n{lines}'
    for text in (f"def f(a, b):\n{branches}", f"async def f():\n{lines}", nested, quoted):
        assert may_be_large(text, COMPLEXITY)
        lengths, counts = zip(*[found[1:] for found in functions("", text)], strict=True)
        assert max(lengths) > FUNCTION_LINES or max(counts) > COMPLEXITY
    assert not may_be_large("def f():\n    pass\n\n\n" * 40, COMPLEXITY)


def test_no_class_name_has_two_meanings() -> None:
    places = defaultdict(list)
    for path, text in TEXTS.items():
        if path.startswith("capadvise/"):
            for name in re.findall(r"(?m)^ *class ([A-Za-z]\w*)\b", text):
                places[name].append(path)
    assert len(places) > 200
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_a_value_is_called_what_it_is() -> None:
    """Everything was ``found`` somewhere."""
    named = re.compile(r" *(def _?found\b|found\b.*=)|.*(\(found :=|\b(for|lambda) found\b)")
    lines = {
        (path, line)
        for path, text in TEXTS.items()
        if path.startswith("capadvise/") and "found" in text
        for line in text.splitlines()
        if "found" in line and named.match(line)
    }
    assert lines == set()


def test_libc_is_loaded_in_one_place() -> None:
    package = {path for path in TEXTS if path.startswith("capadvise/")}
    loaded = {path for path in package if "CDLL" in TEXTS[path] or "PyDLL" in TEXTS[path]}
    assert loaded == {"capadvise/kernel/libc.py"}


def test_kinds_of_namespaces_have_their_numbers_in_one_place() -> None:
    numbers = {number for number in (*clone_flags.NAMES, clone_flags.ALL) if number > 0xFFFF}
    written = re.compile(r"\b0x[0-9a-fA-F]{5,8}\b")
    places = {
        path
        for path, text in TEXTS.items()
        if path.startswith("capadvise/") and "0x" in text
        if numbers.intersection(int(number, 16) for number in written.findall(text))
    }
    assert places - OTHER_NUMBERS == {"capadvise/model/clone_flags.py"}


def test_functions_of_the_kernel_are_named_in_the_catalog() -> None:
    """Which ones tell something is a fact, with a source; what decides asks by the role that they
    play. ``linux`` reads stacks, and has to know some."""
    named = [at for rule in CATALOG.sites.rules for at in rule.at]
    named += [name for names in CATALOG.signs.functions.values() for name in names]
    functions = {function for name in named for function in name.split("<") if "_" in function}
    functions -= CATALOG.syscalls.numbers["x86_64"].keys() | set(Origin)
    assert len(functions) > 500
    places = {
        path: names
        for path, text in TEXTS.items()
        if path.startswith("capadvise/")
        and not path.startswith(("capadvise/kernel/", "capadvise/observe/", "capadvise/targets/"))
        if (names := functions.intersection(re.findall(r'"(\w+)"', text)))
    }
    assert places == {}


def imports_across(packages: Container[str]) -> Iterator[tuple[str, str]]:
    """Each package, with a module of it that is imported from outside of it."""
    statement = re.compile(r"from (capadvise[\w.]*) import (\([^)]*\)|[^\n]*)")
    for path, text in TEXTS.items():
        home = str(Path(path).parent).replace("/", ".")
        for base, names in statement.findall(text if path.startswith("capadvise/") else ""):
            for name in re.findall(r"\w+", names) if base in packages else ("",):
                package, _, module = (f"{base}.{name}" if name else base).rpartition(".")
                inside = f"{home}.".startswith(f"{package}.")
                if not inside and f"{package.replace('.', '/')}/{module}.py" in TEXTS:
                    yield package, module


def test_a_package_says_what_of_it_is_for_others() -> None:
    """In its ``__init__``: what happens in it, and what may be imported from it."""
    docs = {
        str(Path(path).parent).replace("/", "."): ast.get_docstring(ast.parse(text)) or ""
        for path, text in TEXTS.items()
        if path.startswith("capadvise/") and path.endswith("/__init__.py")
    }
    assert [package for package, doc in docs.items() if "\n" not in doc] == []
    open_to_all = {package for package, doc in docs.items() if "may be imported" in doc}
    unsaid = {
        (package, module)
        for package, module in imports_across(docs)
        if package not in open_to_all and not re.search(rf"``{module}[.`]", docs[package])
    }
    assert {each for each in unsaid if each[0] != "capadvise.cli.commands"} == set()  # cli has all


def test_the_way_through_the_package_is_that_of_the_contract() -> None:
    """A newcomer reads the first; the second is what holds."""
    linter = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = [name for layer in linter["contracts"][0]["layers"] for name in layer.split()]
    told = re.findall(r"(?m)^    (\w+)", capadvise.__doc__ or "")
    assert sorted(told) == sorted(name for name in layers if name.isidentifier())
    place = {
        name: number
        for number, layer in enumerate(linter["contracts"][0]["layers"])
        for name in layer.split()
    }
    assert [place[name] for name in told] == sorted(place[name] for name in told)


def test_what_a_text_names_of_another_module_exists() -> None:
    """``module.Name``: when a module moves, nothing else finds what was said of it."""
    modules = defaultdict(str)
    for path, text in TEXTS.items():
        place = Path(path)
        modules[place.parent.name if place.stem == "__init__" else place.stem] += text
    named = [
        (path, *found.groups())
        for path, text in TEXTS.items()
        for found in re.finditer(r"``(?:\w+\.)*([a-z_]+)\.([A-Z]\w+)``", text)
        if path.startswith("capadvise/") and found[1] != "capadvise"  # a file's name
    ]
    assert len(named) > 3
    assert [each for each in named if not re.search(rf"\b{each[2]}\b", modules[each[1]])] == []
