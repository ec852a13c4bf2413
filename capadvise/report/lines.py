"""Lines of at most 80 columns, for explanations."""

import textwrap
from collections.abc import Iterator, Sequence

from capadvise.catalog.capabilities import LABELS, Edits

WIDTH = 80


def paragraph(text: str, indent: str = "  ") -> Iterator[str]:
    """A text, wrapped."""
    yield from textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def cut(line: str, columns: int) -> str:
    """A line that fits; the end of a longer one is left out."""
    return line if len(line) <= columns else f"{line[: columns - 1]}…"


def bullet(text: str, indent: str = "  ", mark: str = "-") -> Iterator[str]:
    """A text behind a mark, wrapped."""
    yield from textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"{indent}{mark} ",
        subsequent_indent=f"{indent}{' ' * len(mark)} ",
        break_on_hyphens=False,
    )


def edit_lines(edits: Edits, indent: str = "    ") -> Iterator[str]:
    """The edits, behind the place where each goes; never wrapped, so that they can be copied."""
    for place, text in edits:
        for number, line in enumerate(text.splitlines()):
            yield f"{indent}{LABELS[place] if number == 0 else '':12} {line}"


def listed(names: Sequence[str], word: str = "and") -> str:
    """``a, b and c``."""
    return f" {word} ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
