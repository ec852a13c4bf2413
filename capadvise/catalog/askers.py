"""Kernel functions that check a capability in stock kernels: ``catalog/askers.tsv``, a row for
each.

``tests/kernels/askers`` makes the table from the machine code of Debian's kernels, so that it has
the names of functions in a stack. A row says which user namespace is checked; if no site rule
covers the function, it also says what a refusal means.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from capadvise.model.caps import Cap


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
_NONE = "-"
"""The content of an empty column."""


def asker_of(row: str) -> Asker:
    """Read a row of the table."""
    function, cap, kernels, module, source, scope, *rest = row.split("\t")
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


def joined(scopes: Iterable[NamespaceScope]) -> NamespaceScope | None:
    """The scope of several functions together; None if there are none."""
    different = set(scopes)
    return different.pop() if len(different) == 1 else NamespaceScope.BOTH if different else None
