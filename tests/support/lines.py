"""How large the project is: ``python -m tests.support.lines [CHECKOUT]``, room by room.

A line of code is one that is neither blank, nor a comment, nor part of a docstring.
"""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tokenize
from collections import Counter, defaultdict
from pathlib import Path

_LAYOUT = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def docstring_lines(text: str) -> set[int]:
    """The numbers of the lines that docstrings take, those under a field too."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def code_lines(text: str) -> int:
    """Lines of Python that are code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT and token.type not in _LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstring_lines(text))


def one_importer(texts: dict[str, str]) -> dict[str, str]:
    """Modules of the package that one other module alone imports → that one. What belongs to a
    configuration language is not counted: its table names the folder."""
    names = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in texts}
    importers: dict[str, set[str]] = defaultdict(set)
    for path, text in texts.items():
        own = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    importers[whole if whole in names else node.module].add(own)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    importers[alias.name].add(own)
    return {
        module: next(iter(by))
        for module, by in sorted(importers.items())
        if module in names
        and len(by) == 1
        and f"{module.replace('.', '/')}/__init__.py" not in texts
        and not module.startswith("capadvise.config.")
    }


def main(checkout: Path) -> None:
    """Print a row for each room, and for what is not in the package."""
    listed = subprocess.run(
        ["git", "-C", checkout, "ls-files", "-z"], check=True, capture_output=True, text=True
    ).stdout.split("\0")
    files, lines, code = Counter[str](), Counter[str](), Counter[str]()
    package = {}
    for name in filter(None, listed):
        parts, path = Path(name).parts, checkout / name
        if parts[0] not in ("capadvise", "catalog", "demos", "tests") or not path.is_file():
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        python = path.suffix == ".py"
        room = parts[0]
        if python and room == "capadvise":
            room = f"capadvise/{parts[1]}" if len(parts) > 2 else "capadvise (top)"
            package[name] = text
        elif room == "capadvise":
            room = "capadvise, not Python"
        for row in (room, "capadvise, all Python") if name in package else (room,):
            files[row] += 1
            lines[row] += text.count("\n")
            code[row] += code_lines(text) if python else 0
    print(f"{'room':24} {'files':>6} {'lines':>7} {'code':>7}")
    for room in sorted(files):
        print(f"{room:24} {files[room]:6} {lines[room]:7} {code[room] or '':>7}")
    alone = one_importer(package)
    own = [
        one for one, by in alone.items() if one.rpartition(".")[0] in (by, by.rpartition(".")[0])
    ]
    print(f"modules with one importer: {len(alone)}, {len(own)} of them in its folder")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
