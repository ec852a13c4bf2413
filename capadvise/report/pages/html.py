"""A page of a report for those who review it: one file without scripts, for screen and paper, dark
and light."""

from collections.abc import Iterator
from html import escape
from pathlib import Path

from capadvise.config.snippet import Snippet
from capadvise.report.lamps import SIGNS, Light
from capadvise.report.pages.sheet import CLASSES, Sheet, SheetNeed, sheet_in

_STYLE = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
_RISK = {"root-equivalent": "root", "high": "optional", "low": "needed"}


def render(snippet: Snippet) -> str:
    return "".join(f"{line}\n" for line in _page(sheet_in(snippet)))


def _page(sheet: Sheet) -> Iterator[str]:
    title = f"Capabilities of {escape(sheet.name)}"
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{title}</title>"
    yield f"<style>\n{_STYLE}</style></head><body>"
    yield f"<h1>{title}</h1>"
    yield f'<p class="score">{escape(str(sheet.score))}</p>'
    if sheet.command:
        yield f'<p class="dim"><code>{escape(sheet.command)}</code></p>'
    yield from _lamps(sheet)
    kept = [need for need in sheet.needs if need.kept]
    yield f"<h2>{escape(sheet.title)}</h2>"
    if kept:
        yield from _needs(kept)
    else:
        yield f"<p>{escape(sheet.empty)}</p>"
    yield from _proof(sheet)
    yield from _risk(sheet)
    if rest := [need for need in sheet.needs if not need.kept]:
        yield "<h2>Checked, not in the set</h2>"
        yield from _needs(rest)
    yield "<h2>Notes</h2><ul>"
    for note in (*sheet.notes, sheet.recorded):
        yield f"<li>{escape(note)}</li>"
    yield "</ul></body></html>"


def _lamps(sheet: Sheet) -> Iterator[str]:
    yield '<ul class="lamps">'
    for lamp in sheet.lamps:
        kind = CLASSES[lamp.light]
        yield (
            f'<li class="{kind}" title="{escape(lamp.light)}">'
            f"{SIGNS[lamp.light]} {escape(lamp.cap.short)}</li>"
        )
    yield "</ul>"
    lit = dict.fromkeys(light for light in Light if any(x.light is light for x in sheet.lamps))
    legend = " &nbsp; ".join(f"{SIGNS[light]} {escape(light)}" for light in lit)
    yield f'<p class="dim">{legend}</p>'


def _needs(needs: list[SheetNeed]) -> Iterator[str]:
    yield "<table><thead><tr><th>Capability</th><th>Verdict</th><th>Risk</th><th>Why</th></tr>"
    yield "</thead><tbody>"
    for need in needs:
        lost = f"<br>Without it: {escape(need.without)}." if need.without else ""
        call = f'<br><span class="dim"><code>{escape(need.call)}</code></span>' if need.call else ""
        risk = _RISK.get(need.risk, "")
        yield (
            f"<tr><th>{escape(need.cap.short)}</th>"
            f'<td>{escape(need.verdict)}<br><span class="dim">{escape(need.proof)}</span></td>'
            f'<td class="{risk}">{escape(need.risk)}</td>'
            f"<td>{escape(need.reason)}{lost}{call}</td></tr>"
        )
    yield "</tbody></table>"


def _risk(sheet: Sheet) -> Iterator[str]:
    yield f"<h2>Risk: {escape(sheet.score.risk)}</h2>"
    yield f"<p>{escape(sheet.place)}, with this set, an attacker who takes over the program "
    if not sheet.attacks:
        yield "gains nothing from capabilities that the catalog knows.</p>"
        return
    yield "could:</p><ul>"
    for cap, text in sheet.attacks:
        yield f"<li><b>{escape(cap.short)}</b>: {escape(text)}</li>"
    yield "</ul>"


def _proof(sheet: Sheet) -> Iterator[str]:
    yield "<h2>Proof, and what was not tested</h2>"
    yield from (f"<p>{escape(line)}</p>" for line in (*sheet.proof, *sheet.tested))
    if not sheet.trials:
        return
    yield "<table><thead><tr><th>Trial</th><th>Result</th><th>Seconds</th><th>What differed</th>"
    yield "</tr></thead><tbody>"
    for name, trial in sheet.trials:
        kind, word = ("pass", "✓ passes") if trial.passed else ("fail", "✗ fails")
        yield (
            f'<tr><td>{escape(name)}</td><td class="{kind}">{word}</td>'
            f"<td>{trial.seconds:.1f}</td><td>{escape('; '.join(trial.differences))}</td></tr>"
        )
    yield "</tbody></table>"
