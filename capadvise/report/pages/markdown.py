"""A document for a pull request or a wiki: set, proof, what was not tested, and risk."""

import re
from collections.abc import Iterator

from capadvise.config.snippet import Snippet
from capadvise.judgement.decide import Verdict
from capadvise.judgement.risk import risk_word
from capadvise.report.lamps import SIGNS
from capadvise.report.pages.sheet import Sheet, kept_in, sheet_in
from capadvise.report.words import PROOFS, VERDICTS

_STEERING = re.compile(r"[\\`*_\[\]<>|&~]")
"""Characters that Markdown, or the HTML in it, takes for more than text."""


def render(snippet: Snippet) -> str:
    """One row for each capability that is kept; then proof, tests and risk."""
    return "".join(f"{line}\n" for line in _lines(snippet))


def _lines(snippet: Snippet) -> Iterator[str]:
    sheet = sheet_in(snippet)
    every_kept = kept_in(snippet)
    yield f"### Capabilities of {_text(snippet.name)} ({snippet.set_title.removeprefix('the ')})"
    yield ""
    lamps = "".join(SIGNS[lamp.light] for lamp in sheet.lamps)
    yield from ("```", lamps, str(sheet.score), "```", "")
    if every_kept:
        yield f"{_text(sheet.title)}:"
        yield ""
        yield "| capability | verdict | proof | risk | reason | without it |"
        yield "| --- | --- | --- | --- | --- | --- |"
        for kept in every_kept:
            lost = kept.lost_without or (
                "it fails" if kept.verdict is Verdict.REQUIRED else "not tested"
            )
            words = (VERDICTS[kept.verdict], PROOFS[kept.proof], risk_word(kept.risk))
            cells = (*words, kept.reason, lost)
            yield f"| {_text(kept.cap.short)} | {' | '.join(map(_text, cells))} |"
    else:
        yield _text(sheet.empty)
    yield from _review(sheet)
    if notes := (*snippet.cautions, *snippet.notes):
        yield ""
        yield from (f"- {_text(note)}" for note in notes)


def _review(sheet: Sheet) -> Iterator[str]:
    for line in (*sheet.proof, *sheet.tested):
        yield ""
        yield _text(line)
    yield ""
    if not sheet.attacks:
        yield f"Risk: {sheet.score.risk}."
        return
    yield (
        f"Risk: {sheet.score.risk}. {_text(sheet.place)}, with this set, an attacker who takes "
        "over the program could:"
    )
    yield ""
    yield from (f"- {_text(cap.short)}: {_text(text)}" for cap, text in sheet.attacks)


def _text(text: str) -> str:
    """Text and nothing else, whatever a program called itself."""
    return _STEERING.sub(r"\\\g<0>", text)
