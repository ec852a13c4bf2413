"""``python -m tests.generate``: make again all that is made of other files. A test compares
the files with what would be made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import capadvise.report
from capadvise.catalog import COMPILED, default
from capadvise.cli.manual import FOLDER
from tests.generate.catalog_pages import capabilities_page, known_page, sites_page
from tests.generate.command_line import command_line_page, manual_page
from tests.generate.facts import compiling
from tests.generate.options import program
from tests.generate.words import code, head, row

_SCHEMA: Path = Path(capadvise.report.__file__).parent / "schema.json"

PAGES: dict[str, Callable[[], str]] = {
    "capabilities.md": lambda: capabilities_page(default()),
    "sites.md": lambda: sites_page(default()),
    "known.md": lambda: known_page(default()),
    "command-line.md": lambda: command_line_page(program()),
    "report.md": lambda: report_page(json.loads(_SCHEMA.read_text(encoding="utf-8"))),
    "capadvise.1": lambda: manual_page(program()),
}
"""All generated pages: file name → text."""


def main() -> None:
    """Write the compiled catalog and the pages."""
    facts = default().folder
    (facts / COMPILED).write_text(compiling.dump(compiling.compiled(facts)), encoding="utf-8")
    for name, make in PAGES.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")


_HEAD = """\
# The report

What `-o` writes, as `capadvise/report/schema.json` describes it (JSON Schema 2020-12). `[]` stands
for each item of a list, `*` for any key. Every key is always there; an unknown value is null or
empty.

capadvise reads version 1, too, and refuses any other `schema`. `--json=1` prints version 1 until
December 2027: it says `used` for `needed`, `tolerated` for `optional`, `advisory` for `incidental`,
`unused` for `not-checked`, `floor` for `minimal`, `own_sets` for `fixed_capsets` and `instead` for
`remediation`, and has no `conclusion`.

`conclusion` is computed once, and every other output shows it: `standing` says how far the set can
be trusted, `baseline` what the target is granted today, `doubt` what could change the set,
`also_passed` other sets that passed a trial, and `next` one command (`REPORT` stands for the file).
Programs should read `standing` first: `recommended` is no answer where it is `not-judged`,
`run-failed` or `check-failed`, and only a lower limit where it is `partial`.
"""


def report_page(schema: Mapping[str, Any]) -> str:
    """The page."""
    lines = [*_HEAD.splitlines(), "", *head("key", "value")]
    lines += [row(code([path]), kind) for path, kind in _keys(schema, "")]
    return "\n".join(lines) + "\n"


def _keys(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for kind in schema.get("anyOf", (schema,)):
        for name, inner in kind.get("properties", {}).items():
            below = f"{path}.{name}" if path else name
            yield below, _kind(inner)
            yield from _keys(inner, below)
        if isinstance(items := kind.get("items"), dict):
            yield from _keys(items, f"{path}[]")
        if isinstance(values := kind.get("additionalProperties"), dict):
            yield f"{path}.*", _kind(values)
            yield from _keys(values, f"{path}.*")


def _kind(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"]))
    if "const" in schema:
        return code([json.dumps(schema["const"])])
    if "enum" in schema:
        return "one of " + code(map(str, schema["enum"]))
    if schema.get("type") == "array":
        items = schema.get("items")
        return f"list of {_kind(items)}" if isinstance(items, dict) else "list"
    kind = schema.get("type", "anything")
    return kind if isinstance(kind, str) else " or ".join(kind)


if __name__ == "__main__":
    main()
