"""Kernel functions that check a capability in stock kernels: ``catalog/askers.tsv``, a row for
each.

``tests/kernels/askers`` makes the table from the machine code of Debian's kernels, so that it has
the names of functions in a stack. A row says which user namespace is checked; if no site rule
covers the function, it also says what a refusal means.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from capadvise.model.caps import Cap
from capadvise.model.errors import BadInput


class NamespaceScope(StrEnum):
    """The user namespace in which the capability must be held."""

    INITIAL = "initial"
    """The machine's own: capabilities of another one do not count (capable)."""
    OWNER = "owner"
    """The one that owns the object: a network namespace, a mount, an inode (ns_capable)."""
    BOTH = "both"
    """One or the other, depending on the call."""


@dataclass(frozen=True, slots=True)
class Asker:
    """One kernel function that checks one capability."""

    function: str
    cap: Cap | None
    """None: a variable holds the capability."""
    kernels: tuple[str, ...]
    """Series whose Debian kernel has it."""
    module: str
    """``vmlinux``: built in."""
    source: str
    scope: NamespaceScope
    meaning: str
    """The meaning as in a site rule; empty if a site rule covers it."""
    refused: str
    """The error of a refusal; empty if the call goes on, or it is unknown."""
    alternatives: tuple[Cap, ...]
    text: str
    """The activity of the program."""
    lost: str


ASKERS = "askers.tsv"
COLUMNS = (
    *("function", "capability", "kernels", "module", "source", "scope", "meaning", "refused"),
    *("alternatives", "text", "lost"),
)
_NONE = "-"
"""The content of an empty column."""


def parse_askers(path: Path, text: str) -> tuple[Asker, ...]:
    """The rows of a text; ``path`` is for messages. Raises BadInput with file and line."""
    rows: dict[tuple[str, str], Asker] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            continue
        columns = line.split("\t")
        try:
            if len(columns) != len(COLUMNS):
                raise ValueError(f"{len(columns)} columns instead of {len(COLUMNS)}")
            if (columns[0], columns[1]) in rows:
                raise ValueError(f"{columns[0]} with {columns[1]} appears twice")
            rows[columns[0], columns[1]] = _asker(columns)
        except ValueError as error:
            raise BadInput(f"{path}: line {number}: {error}") from error
    return tuple(rows.values())


def _asker(columns: list[str]) -> Asker:
    function, cap, kernels, module, source, scope, *rest = columns
    meaning, refused, alternatives, text, lost = ("" if c == _NONE else c for c in rest)
    return Asker(
        function,
        None if cap == "?" else Cap.parse(cap),
        tuple(kernels.split(",")),
        module,
        source,
        NamespaceScope(scope),
        meaning,
        refused,
        tuple(map(Cap.parse, filter(None, alternatives.split(",")))),
        text,
        lost,
    )


def rows_by_function(text: str) -> Mapping[str, list[str]]:
    """Function → its rows, unparsed: a run needs two or three of the thousand."""
    rows: dict[str, list[str]] = {}
    for line in text.splitlines():
        rows.setdefault(line.partition("\t")[0], []).append(line)
    return rows


def by_function(askers: Iterable[Asker]) -> Mapping[str, tuple[Asker, ...]]:
    """The functions by their names."""
    named: dict[str, tuple[Asker, ...]] = {}
    for asker in askers:
        named[asker.function] = (*named.get(asker.function, ()), asker)
    return named


def joined(scopes: Iterable[NamespaceScope]) -> NamespaceScope | None:
    """The scope of several functions together; None if there are none."""
    different = set(scopes)
    return different.pop() if len(different) == 1 else NamespaceScope.BOTH if different else None
