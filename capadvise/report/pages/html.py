"""A page of a report for those who review it: one file without scripts, for screen and paper, dark
and light."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from capadvise.config.snippet import Snippet
from capadvise.report.lamps import SIGNS, Light
from capadvise.report.pages.sheet import CLASSES, Sheet, SheetNeed, sheet_in

_STYLE = """\
:root{color-scheme:light dark;--fg:#1f2328;--bg:#fff;--line:#d0d7de;--dim:#656d76;--card:#f6f8fa;
--good:#1a7f37;--bad:#cf222e;--warn:#9a6700}
@media (prefers-color-scheme:dark){:root{--fg:#e6edf3;--bg:#0d1117;--line:#30363d;--dim:#8b949e;
--card:#161b22;--good:#3fb950;--bad:#ff7b72;--warn:#d29922}}
@media print{:root{--fg:#000;--bg:#fff;--line:#999;--dim:#444;--card:#fff;--good:#060;--bad:#900;
--warn:#640}details{break-inside:avoid}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:64rem;
margin:2rem auto;padding:0 1rem}
h1{margin:0 0 .25rem;font-size:1.6rem;overflow-wrap:anywhere}
h2{margin:2rem 0 .5rem;font-size:1.15rem}
code,.lamps,.score{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.score{font-size:1.15rem;font-weight:700;margin:.25rem 0 1rem}.dim{color:var(--dim)}
.lamps{display:grid;grid-template-columns:repeat(auto-fill,minmax(12.5rem,1fr));gap:.1rem 1rem;
padding:1rem;border:1px solid var(--line);border-radius:.6rem;background:var(--card);
list-style:none;font-size:.85rem;margin:0}
.needed{color:var(--good);font-weight:700}.root,.dropped,.denied{color:var(--bad);font-weight:700}
.optional,.added{color:var(--warn);font-weight:700}.dark{color:var(--dim)}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;vertical-align:top;padding:.4rem .6rem;border-bottom:1px solid var(--line);
overflow-wrap:anywhere}th{white-space:nowrap}
.pass{color:var(--good)}.fail{color:var(--bad)}
"""
_RISK = {"root-equivalent": "root", "high": "optional", "low": "needed"}


def render(snippet: Snippet) -> str:
    """The page."""
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
    for attack in sheet.attacks:
        yield f"<li><b>{escape(attack.cap.short)}</b>: {escape(attack.text)}</li>"
    yield "</ul>"


def _proof(sheet: Sheet) -> Iterator[str]:
    yield "<h2>Proof, and what was not tested</h2>"
    yield from (f"<p>{escape(line)}</p>" for line in (*sheet.proof, *sheet.tested))
    if not sheet.trials:
        return
    yield "<table><thead><tr><th>Trial</th><th>Result</th><th>Seconds</th><th>What differed</th>"
    yield "</tr></thead><tbody>"
    for trial in sheet.trials:
        kind, word = ("pass", "✓ passes") if trial.passed else ("fail", "✗ fails")
        yield (
            f'<tr><td>{escape(trial.name)}</td><td class="{kind}">{word}</td>'
            f"<td>{trial.seconds:.1f}</td><td>{escape('; '.join(trial.differences))}</td></tr>"
        )
    yield "</tbody></table>"
