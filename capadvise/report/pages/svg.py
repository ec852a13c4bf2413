"""A picture of a report: the lamps, what the set is worth, and what is needed. It stands alone."""

from collections.abc import Iterator
from html import escape
from pathlib import Path

from capadvise.config.snippet import Snippet
from capadvise.report.lamps import SIGNS, Light
from capadvise.report.pages.sheet import CLASSES, Sheet, sheet_in

_ACROSS, _WIDTH, _LEFT, _CELL = 6, 900, 24, 144
_LINE = 22
STYLE = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")


def render(snippet: Snippet) -> str:
    sheet = sheet_in(snippet)
    body = list(_body(sheet))
    height = 40 + max((y for y, _ in body), default=0)
    return "".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" ',
            f'width="{_WIDTH}" height="{height}" role="img" xml:space="preserve">\n',
            f"<title>{escape(sheet.name)}: {escape(str(sheet.score))}</title>\n",
            f"<style>\n{STYLE}</style>\n",
            f'<rect class="ground" x=".5" y=".5" width="{_WIDTH - 1}" height="{height - 1}" ',
            'rx="10"/>\n',
            *(f"{line}\n" for _, line in body),
            "</svg>\n",
        )
    )


def _body(sheet: Sheet) -> Iterator[tuple[int, str]]:
    """(how far down it reaches, element)."""
    y = 40
    yield y, _words(_LEFT, y, "title", sheet.name[:60])
    y += 28
    yield y, _words(_LEFT, y, "score", str(sheet.score))
    y += 24
    yield y, _words(_LEFT, y, "dim", f"The {sheet.set_name} set")
    y += 34
    down = -(-len(sheet.lamps) // _ACROSS)
    for number, lamp in enumerate(sheet.lamps):
        x, at = _LEFT + number // down * _CELL, y + number % down * _LINE
        kind = CLASSES[lamp.light]
        name = lamp.cap.short.lower()
        shown = name if len(name) <= 15 else f"{name[:14]}…"
        sign = f'<tspan class="{kind}">{SIGNS[lamp.light]}</tspan>'
        style = "dark" if lamp.light is Light.DARK else kind
        title = f"<title>{escape(lamp.cap.name)}: {lamp.light}</title>"
        yield (
            at,
            f'<text x="{x}" y="{at}">{title}{sign} <tspan class="{style}">{escape(shown)}</tspan>'
            "</text>",
        )
    y += down * _LINE + 12
    for need in sheet.needs:
        if need.kept:
            line = f"{need.cap.short:18}  {need.risk:15}  {need.reason}"
            yield y, _words(_LEFT, y, "", line[:108] + ("…" if len(line) > 108 else ""))
            y += _LINE
    for line in (*sheet.proof, sheet.recorded):
        yield y, _words(_LEFT, y, "dim", line[:108] + ("…" if len(line) > 108 else ""))
        y += _LINE


def _words(x: int, y: int, kind: str, text: str) -> str:
    return f'<text x="{x}" y="{y}" class="{kind}">{escape(text)}</text>'
