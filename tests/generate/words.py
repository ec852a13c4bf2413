"""Pieces of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator


def row(*cells: str) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"


def head(*titles: str) -> Iterator[str]:
    """The first two rows of a table."""
    yield row(*titles)
    yield row(*["---"] * len(titles))


def code(names: Iterable[str]) -> str:
    """Names, set as code; a bar in one of them ends no cell."""
    return ", ".join(f"`{name}`" for name in names).replace("|", "\\|")


def prose(text: str) -> str:
    """A text in which nothing is taken for Markdown."""
    return _MARKUP.sub(r"\\\g<0>", text)


_MARKUP = re.compile(r"[\\*<\[|]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
