"""A page of the manual as text for a terminal. Loads rich: only ``help`` imports this."""

import io
import re
from collections.abc import Iterable, Iterator
from typing import ClassVar

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown, MarkdownElement, TableElement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

_THEME = Theme(
    {
        "markdown.h1": "bold",
        "markdown.h2": "bold",
        "markdown.h3": "bold",
        "markdown.code": "bold",
        "markdown.code_block": "none",
        "markdown.item.bullet": "none",
        "markdown.item.number": "none",
        "markdown.table.header": "bold",
        "markdown.table.border": "none",
        "markdown.block_quote": "none",
    }
)
"""No colours: they must be read on light and dark terminals."""


def rendered(markdown: str, columns: int, topics: Iterable[str], *, styled: bool) -> str:
    """The page in lines of at most so many columns. ``topics``: the pages that a link may lead to.
    ``styled``: with the terminal's sequences for bold."""
    text = io.StringIO()
    console = Console(
        file=text,
        width=columns,
        theme=_THEME,
        force_terminal=styled,
        color_system="standard" if styled else None,
        highlight=False,
        legacy_windows=False,
    )
    console.print(_Page(_with_commands(markdown, frozenset(topics)), hyperlinks=False))
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


_FENCES = re.compile(r"(?ms)^(```.*?^```$)")
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")


def _with_commands(markdown: str, topics: frozenset[str]) -> str:
    """The page with a command in the place of each link to another page; links within a page and
    to files of the repository are dropped, their words stay."""

    def instead(link: re.Match[str]) -> str:
        words, target = link.groups()
        if "://" in target:
            return link[0]
        topic = target.partition("#")[0].removesuffix(".md")
        if topic not in topics:
            return words
        command = f"`capadvise help {topic}`"
        if words.strip("`").lower() == topic:
            return command
        whole = link.string[max(link.start() - 1, 0)] == "("
        return f"{words}: {command}" if whole else f"{words} ({command})"

    return "".join(
        part if part.startswith("```") else _LINK.sub(instead, part)
        for part in _FENCES.split(markdown)
    )


class _Title(Heading):
    """At the left, as in a manual page."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.justify = "left"
        yield self.text


class _Code(CodeBlock):
    """Indented and as it stands, so that it can be copied."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Padding(Text(str(self.text).rstrip()), (0, 0, 0, 4))


class _FittingTable(TableElement):
    """A table if it fits the width; else each row as a paragraph, headed by its first cell."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        assert self.header is not None
        assert self.header.row is not None
        head = [cell.content for cell in self.header.row.cells]
        body = self.body.rows if self.body is not None else []
        rows = [[cell.content for cell in row.cells] for row in body]
        widths = [max(cell.cell_len for cell in column) for column in zip(head, *rows, strict=True)]
        if sum(widths) + 2 * len(widths) <= options.max_width:
            yield _grid(head, rows)
        else:
            yield from _paragraphs(head, rows)


def _grid(head: list[Text], rows: list[list[Text]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=any(map(str, head)))
    for title in head:
        table.add_column(title, header_style="bold")
    for row in rows:
        table.add_row(*row)
    return table


def _paragraphs(head: list[Text], rows: list[list[Text]]) -> Iterator[RenderableType]:
    several = len(head) > 3
    for number, (first, *others) in enumerate(rows):
        if number:
            yield Text()
        first.stylize("bold")
        yield first
        for title, cell in zip(head[1:], others, strict=True):
            if str(cell).strip():
                named = Text.assemble(title, ": ", cell) if several and str(title) else cell
                yield Padding(named, (0, 0, 0, 4))


class _Page(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "heading_open": _Title,
        "fence": _Code,
        "code_block": _Code,
        "table_open": _FittingTable,
    }
