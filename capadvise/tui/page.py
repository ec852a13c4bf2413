"""Texts that wrap themselves to whatever width they are drawn with."""

import textwrap
from abc import abstractmethod

from textual.content import Content
from textual.css.styles import RulesMap
from textual.strip import Strip
from textual.style import Style
from textual.visual import RenderOptions, Visual


class Wrapped(Visual):
    """Something that is drawn again for each width."""

    _width = -1
    _content = Content("")

    @abstractmethod
    def lines(self, width: int) -> list[Content]:
        """The rows that fit in so many cells."""

    def at(self, width: int) -> Content:
        """All rows. They are kept until the width changes."""
        if width != self._width:
            self._width, self._content = width, Content("\n").join(self.lines(max(width, 1)))
        return self._content

    def render_strips(
        self, width: int, height: int | None, style: Style, options: RenderOptions
    ) -> list[Strip]:
        return self.at(width).render_strips(width, height, style, options)

    def get_optimal_width(self, rules: RulesMap, container_width: int) -> int:
        return container_width

    def get_height(self, rules: RulesMap, width: int) -> int:
        return self.at(width).plain.count("\n") + 1

    @property
    def plain(self) -> str:
        """The text without colours."""
        return self.at(self._width if self._width > 0 else 100).plain

    def __str__(self) -> str:
        return self.plain


class Page(Wrapped):
    """Headings, paragraphs and bullets."""

    def __init__(self) -> None:
        self._items: list[tuple[Content, str]] = []

    def heading(self, text: str) -> None:
        """A heading, with an empty line before it."""
        if self._items:
            self.gap()
        self._items.append((Content.styled(text, "bold $text-primary"), ""))

    def gap(self) -> None:
        """An empty line."""
        self._items.append((Content(""), ""))

    def say(self, text: str | Content) -> None:
        self.bullet(text, "")

    def bullet(self, text: str | Content, mark: str = "•") -> None:
        """A paragraph that hangs from a dot or another mark."""
        content = Content(text) if isinstance(text, str) else text
        self._items.append((content, f"{mark} " if mark else ""))

    def lines(self, width: int) -> list[Content]:
        rows: list[Content] = []
        for content, mark in self._items:
            room = max(width - len(mark), 8)
            for number, line in enumerate(content.wrap(room) or [content]):
                rows.append(Content(mark if number == 0 else " " * len(mark)) + line.rstrip())
        return rows


class Code(Wrapped):
    """A snippet: comments are cut at the edge, a long command line is wrapped."""

    def __init__(self, text: str) -> None:
        self.text = text

    def lines(self, width: int) -> list[Content]:
        """The lines, with comments dimmed and keys in colour."""
        return [
            _syntax(part, width) for line in self.text.splitlines() for part in _cut(line, width)
        ]


def _cut(line: str, width: int) -> list[str]:
    if len(line.partition("# ")[0]) <= width:
        return [line]
    return textwrap.wrap(line, width, subsequent_indent="  ", break_on_hyphens=False)


def _syntax(line: str, width: int) -> Content:
    code, mark, comment = ("", "", line) if line.startswith("#") else line.partition("# ")
    style = "bold $text-primary" if code.rstrip().endswith(":") else ""
    return Content.assemble((code, style), (mark + comment, "dim")).truncate(width, ellipsis=True)
