"""Checks ``catalog/askers.tsv``."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from capadvise.catalog.askers import Asker, asker_of
from capadvise.model.errors import BadInput

COLUMNS = (
    *("function", "capability", "kernels", "module", "source", "scope", "meaning", "refused"),
    *("alternatives", "text", "lost"),
)


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
            rows[columns[0], columns[1]] = asker_of(line)
        except ValueError as error:
            raise BadInput(f"{path}: line {number}: {error}") from error
    return tuple(rows.values())


def by_function(askers: Iterable[Asker]) -> Mapping[str, tuple[Asker, ...]]:
    """The functions by their names."""
    named: dict[str, tuple[Asker, ...]] = {}
    for asker in askers:
        named[asker.function] = (*named.get(asker.function, ()), asker)
    return named
