"""The kernel functions that the catalog names, and whether what names them can ever come true.

A rule with a misspelt name never fires, and no recording shows that. So each name must be in
functions.tsv, which says in which kernels it is (``python -m tests.kernels.functions`` makes it).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capadvise.model import strict
from capadvise.model.recording import Origin
from tests.generate.facts.sites import rule_of

ROOT = Path(__file__).parents[2]
CATALOG = ROOT / "catalog"
LIST = Path(__file__).with_name("functions.tsv")
COMMAND = "python -m tests.kernels.functions"
COLUMNS = ("function", "amd64", "arm64", "source", "file", "why")
ARCHITECTURES = COLUMNS[1:3]
_NONE = "-"
_ANY = "*"
_ORIGINS = frozenset(Origin)

Kernel = tuple[str, str]
"""Architecture and series: ``("amd64", "6.12")``."""


@dataclass(frozen=True)
class Function:
    """A row of the list: where a name, or something that a pattern matches, is to be found."""

    name: str
    kernels: frozenset[Kernel]
    """Those that have it as a symbol, so that it can stand in a stack."""
    source: tuple[str, ...] = ()
    """Series whose source defines it, and whose kernels have it inlined or not built."""
    file: str = ""
    """Where the newest of these defines it."""
    why: str = ""
    """Written by hand: where it is, if no kernel of Debian has it. Such a name counts as one that
    every kernel has."""

    def series(self) -> set[str]:
        """All series that have it in one way or another."""
        return {series for _, series in self.kernels} | set(self.source)


def parse(text: str) -> dict[str, Function]:
    """The list by name."""
    rows = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, *rest = line.split("\t")
            amd64, arm64, source, file, why = ("" if cell == _NONE else cell for cell in rest)
            kernels = {
                (architecture, series)
                for architecture, cell in zip(ARCHITECTURES, (amd64, arm64), strict=True)
                for series in filter(None, cell.split(","))
            }
            listed = tuple(filter(None, source.split(",")))
            rows[name] = Function(name, frozenset(kernels), listed, file, why)
    return rows


def dump(rows: Iterable[Function], head: str) -> str:
    """The text of the list; ``head`` is its comment."""
    lines = [f"# {line}" for line in (*head.splitlines(), "\t".join(COLUMNS))]
    for row in sorted(rows, key=lambda row: row.name):
        series = [{s for a, s in row.kernels if a == name} for name in ARCHITECTURES]
        cells = [",".join(sorted(each, key=number)) for each in (*series, row.source)]
        lines.append("\t".join(cell or _NONE for cell in (row.name, *cells, row.file, row.why)))
    return "\n".join(lines) + "\n"


def number(series: str) -> tuple[int, ...]:
    """To compare series by."""
    return tuple(map(int, series.split(".")))


@dataclass(frozen=True)
class Naming:
    """One place of the catalog that names functions: a rule, or a sign."""

    place: str
    """File and line."""
    id: str
    at: tuple[tuple[str, ...], ...]
    """One of these must stand in the stack, its names side by side."""
    below: tuple[str, ...] = ()
    not_below: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None

    def functions(self) -> list[str]:
        """All names, each once."""
        inner = [name for chain in self.at if chain[0] not in _ORIGINS for name in chain]
        names = dict.fromkeys((*inner, *self.below, *self.not_below))
        return [name for name in names if name != _ANY]

    def concerns(self, series: str) -> bool:
        """Whether it speaks of such kernels."""
        first, last = number(self.since or "0"), number(self.until or "999")
        return first <= number(series) <= last


def namings(catalog: Path = CATALOG) -> Iterator[Naming]:
    """All that names kernel functions."""
    for path in sorted((catalog / "sites").glob("*.yaml")):
        yield from of_rules(path, path.read_text(encoding="utf-8"))
    path = catalog / "signs.yaml"
    signs = strict.load(path, path.read_text(encoding="utf-8"))
    for role, sign in signs["functions"].items():
        if role != strict.LINE:
            yield Naming(_place(path, sign), role, tuple((name,) for name in sign["names"]))
    for name in signs["entered"]:
        if name != strict.LINE:
            yield Naming(_place(path, signs["entered"], name), "entered", ((name,),))


def of_rules(path: Path, text: str) -> Iterator[Naming]:
    """What the rules of a file name."""
    for raw in strict.load(path, text):
        rule = rule_of(path, raw)
        chains = tuple(tuple(pattern.split("<")) for pattern in rule.at)
        yield Naming(
            _place(path, raw, "at"),
            rule.id,
            chains,
            rule.below,
            rule.not_below,
            rule.since,
            rule.until,
        )


def _place(path: Path, raw: Any, key: str = "names") -> str:
    where = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    return strict.place(where, raw, key)


def wrong(
    naming: Naming, known: Mapping[str, Function], kernels: Iterable[Kernel], calls: Iterable[str]
) -> list[str]:
    """What keeps it from coming true, a line each. ``kernels``: those that were looked at.
    ``calls``: the names of system calls."""
    said = [
        f"{naming.place}: {naming.id}: {problem}"
        for name in naming.functions()
        if (problem := _unknown(name, naming, known))
    ]
    outer = {name for chain in naming.at if chain[0] in _ORIGINS for name in chain[1:]}
    said += [
        f"{naming.place}: {naming.id}: {name!r} is no system call{_nearest(name, calls)}"
        for name in sorted(outer.difference(calls))
    ]
    if not said and not any(_can_fire(naming, known, kernel) for kernel in kernels):
        said = [
            f"{naming.place}: {naming.id}: it cannot fire: in none of its kernels can"
            f" {_shown(naming)} stand in a stack (tests/kernels/{LIST.name} says where each is; if"
            " there are others that have it, its last column says which)"
        ]
    return said


def _unknown(name: str, naming: Naming, known: Mapping[str, Function]) -> str:
    row = known.get(name)
    if row is None:
        return (
            f"{name!r} is not in tests/kernels/{LIST.name}{_nearest(name, known)}. If it is right,"
            f" `{COMMAND} --here` looks for it in the kernel that runs here"
        )
    if row.why or any(map(naming.concerns, row.series())):
        return ""
    return (
        f"{name!r} is in Linux {', '.join(sorted(row.series(), key=number))} alone, and the rule"
        f" speaks of {naming.since or 'the first'} to {naming.until or 'the newest'}"
    )


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, names, 1)
    return f" (the nearest is {near[0]!r})" if near else ""


def _can_fire(naming: Naming, known: Mapping[str, Function], kernel: Kernel) -> bool:
    def there(name: str) -> bool:
        return name == _ANY or bool(known[name].why) or kernel in known[name].kernels

    return naming.concerns(kernel[1]) and (
        any(chain[0] in _ORIGINS or all(map(there, chain)) for chain in naming.at)
        and (not naming.below or any(map(there, naming.below)))
    )


def _shown(naming: Naming) -> str:
    def words(names: Sequence[str]) -> str:
        return " or ".join(names)

    at = words(["<".join(chain) for chain in naming.at])
    return f"{at}, below {words(naming.below)}," if naming.below else at
