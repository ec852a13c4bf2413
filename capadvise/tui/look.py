"""Glyphs, words and colours that all screens share, and a theme that follows the terminal."""

from __future__ import annotations

import os
import re
import select
import termios
import textwrap
import time
import tty
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from textual.color import Color
from textual.content import Content
from textual.theme import BUILTIN_THEMES, Theme
from textual.widget import Widget
from textual.widgets import Static

from capadvise.decide import Verdict
from capadvise.report.escape import printable
from capadvise.tui.choice import Decision

VERDICT_STYLES = {
    Verdict.REQUIRED: "$text-success",
    Verdict.USED: "$text-success",
    Verdict.TOLERATED: "$text-warning",
    Verdict.ADVISORY: "dim",
    Verdict.DENIED: "$text-error",
    Verdict.UNUSED: "dim",
}
RISK_STYLES = {
    "low": "$text-success",
    "medium": "",
    "high": "$text-warning",
    "root": "bold $text-error",
}
DECISION_MARKS = {
    Decision.KEPT: ("✓", "$text-success"),
    Decision.ADDED: ("+", "bold $text-warning"),
    Decision.DROPPED: ("−", "bold $text-error"),
    Decision.OUT: (" ", ""),
}


def risk_text(risk: str | None) -> Content:
    """The word for a risk, in its colour."""
    return Content.styled(risk or "unknown", RISK_STYLES.get(risk or "", ""))


# ----------------------------------------------------------------------------------- the theme


def theme(environ: Mapping[str, str], background: str | None) -> Theme:
    """A theme for this terminal: its own 16 colours where it has no more or none are wanted, else
    one on the terminal's own background (``#rrggbb``, None where it did not say)."""
    light = _is_light(environ, background)
    term, depth = environ.get("TERM", ""), environ.get("COLORTERM", "")
    many = depth in ("truecolor", "24bit") or "256color" in term or "direct" in term
    if environ.get("NO_COLOR") or not many:
        return BUILTIN_THEMES["ansi-light" if light else "ansi-dark"]
    built_in = BUILTIN_THEMES["textual-light" if light else "textual-dark"]
    if background is None:
        return built_in
    ground = Color.parse(background)
    front = Color.parse("#000000" if light else "#ffffff")
    return replace(
        built_in,
        name="terminal",
        background=background,
        surface=ground.blend(front, 0.03).hex,
        panel=ground.blend(front, 0.08).hex,
    )


def _is_light(environ: Mapping[str, str], background: str | None) -> bool:
    if background is not None:
        return Color.parse(background).brightness > 0.5
    return environ.get("COLORFGBG", "").rpartition(";")[2] in ("7", "15")


_ANSWER = re.compile(rb"\x1b\]11;rgba?:([0-9a-fA-F]+)/([0-9a-fA-F]+)/([0-9a-fA-F]+)")


def parse_background(answer: bytes) -> str | None:
    """``#rrggbb`` out of what a terminal answers to OSC 11."""
    colour = _ANSWER.search(answer)
    if colour is None:
        return None
    return "#" + "".join(
        f"{int(part, 16) * 255 // (16 ** len(part) - 1):02x}" for part in colour.groups()
    )


def ask_background(fd: int, seconds: float = 0.2) -> str | None:
    """Ask the terminal for its background colour. A second question that every terminal answers
    (its kind) ends the wait for those that do not know the first."""
    answer = b""
    with suppress(OSError, termios.error):
        before = termios.tcgetattr(fd)
        try:
            tty.setcbreak(fd)
            os.write(fd, b"\x1b]11;?\x1b\\\x1b[c")
            deadline = time.monotonic() + seconds
            while not re.search(rb"\x1b\[\?[0-9;]*c", answer):
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([fd], [], [], left)[0]:
                    break
                answer += os.read(fd, 1024)
        finally:
            termios.tcsetattr(fd, termios.TCSANOW, before)
    return parse_background(answer)


def syntax(text: str) -> Content:
    """A snippet: comments dimmed, keys in colour."""
    lines = []
    for line in text.splitlines():
        code, mark, comment = line.partition("# ") if not line.startswith("#") else ("", "", line)
        styled = Content.styled(code, "bold $text-primary" if code.rstrip().endswith(":") else "")
        lines.append(Content.assemble(styled, (mark + comment, "dim")))
    return Content("\n").join(lines)


def show_snippet(pane: Static, text: str) -> None:
    """A snippet in a pane: comments are cut at its edge, a long command line is not."""
    width = pane.size.width or 80
    lines = []
    for line in text.splitlines():
        fits = len(line.partition("# ")[0]) <= width
        lines += (
            [line]
            if fits
            else textwrap.wrap(line, width, subsequent_indent="  ", break_on_hyphens=False)
        )
    pane.update(syntax("\n".join(lines)))


class Page:
    """A text in the making, as wide as the pane that shows it."""

    def __init__(self, box: Widget) -> None:
        self._width = max(box.content_size.width - 1, 20)  # the scrollbar
        self._lines: list[Content] = []

    def heading(self, text: str) -> None:
        """A heading, with an empty line before it."""
        if self._lines:
            self._lines.append(Content(""))
        self._lines.append(Content.styled(text, "bold $text-primary"))

    def gap(self) -> None:
        """An empty line."""
        self._lines.append(Content(""))

    def say(self, text: str | Content) -> None:
        """A paragraph."""
        self._wrapped(text, "")

    def bullet(self, text: str | Content, mark: str = "•") -> None:
        """A paragraph that hangs from a dot or another mark."""
        self._wrapped(text, f"{mark} ")

    def _wrapped(self, text: str | Content, mark: str) -> None:
        content = Content(text) if isinstance(text, str) else text
        for number, line in enumerate(content.wrap(self._width - len(mark))):
            self._lines.append(Content(mark if number == 0 else " " * len(mark)) + line.rstrip())

    def content(self) -> Content:
        """All of it."""
        return Content("\n").join(self._lines)


def diff_text(diff: str) -> Content:
    """A diff: what goes and what comes in colour, beside its sign."""
    styles = {"+": "$text-success", "-": "$text-error", "@": "$text-primary"}
    lines = []
    for number, line in enumerate(diff.splitlines()):
        style = "dim" if number < 2 else styles.get(line[:1], "")
        lines.append(Content.styled(printable(line), style))
    return Content("\n").join(lines)
