"""The first frame, shown while Textual is being loaded: the lamps, the score and the needs as text.

It takes a fraction of the time that the app takes for its first frame; the app then draws over it.
Nothing here imports Textual.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from capadvise.catalog import Catalog
from capadvise.judgement.conclusion import conclude_report
from capadvise.judgement.decide import Proposal
from capadvise.judgement.report import Report
from capadvise.judgement.risk import RisksHere, all_caps, usual_risks
from capadvise.model.caps import Cap
from capadvise.model.escape import printable
from capadvise.report.lamps import SIGNS, Lamp, Light, Score, lamps, score_of, score_so_far, signs
from capadvise.tui.choice import Choice
from capadvise.tui.rows import (
    NOT_CHECKED,
    ByCap,
    Row,
    SortOrder,
    arranged,
    review_rows,
    seen,
    short_count,
    standing_sign,
)
from capadvise.tui.tabs import LABELS

Draw = Callable[[int, int], Sequence[str]]
"""The lines for a screen of so many columns and rows."""
_BOLD, _DIM, _REVERSE = "1", "2", "7"
_COLOURS = signs(Light, "sgr")
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J", "\x1b[?1049l\x1b[?25h"


@contextmanager
def first_frame(draw: Draw) -> Iterator[None]:
    """Show it before a block that loads the app, and remove it if the block fails."""
    size = os.get_terminal_size(sys.stdout.fileno())
    text = "\r\n".join(list(draw(size.columns, size.lines))[: size.lines])
    try:
        _write(f"{_ENTER}{text}")
        yield
    except BaseException:
        _write(_LEAVE)
        raise


def _write(text: str) -> None:
    with suppress(OSError, ValueError):
        sys.stdout.write(text)
        sys.stdout.flush()


def of_review(report: Report, catalog: Catalog) -> Draw:
    """The needs of a saved report."""
    choice, risks = Choice(report), RisksHere(report, catalog)
    caps = all_caps(report.recording.host.last_cap, report.proposal)
    lit = lamps(caps, report.proposal, choice.caps, choice.start, risks)
    worth = score_of(conclude_report(report, catalog, risks=risks))
    rows = list(_listed(review_rows(choice, lit, risks, ByCap(seen), {})))
    return lambda width, height: [
        *_head(report.target.argv, "review", lit, worth, width, height),
        *(_cut(row, width) for row in rows),
    ]


def of_recording(argv: Sequence[str], catalog: Catalog, last_cap: int = 40) -> Draw:
    """A recording that is about to begin."""
    caps, nothing = tuple(map(Cap, range(last_cap + 1))), Proposal((), frozenset())
    risks = usual_risks(caps, catalog)
    lit = lamps(caps, nothing, frozenset(), frozenset(), risks)
    worth = score_so_far(frozenset(), risks, "starting …")
    return lambda width, height: _head(argv, "live", lit, worth, width, height)


# ------------------------------------------------------------------------------------ the lines

Part = tuple[str, str]
"""A text and its look."""


def _head(
    argv: Sequence[str], tab: str, lit: Sequence[Lamp], worth: Score, width: int, height: int
) -> list[str]:
    top = [(" capadvise ", _BOLD)]
    look = {tab: f"{_BOLD};{_REVERSE}"}
    top += [(label, look.get(name, "")) for name, label in LABELS.items()]
    room = width - sum(len(text) for text, _ in top) - 1
    top.append((printable(" ".join(argv))[:room].rjust(room), ""))
    rows = 2 if height < 20 or width < 70 else 3
    across, step = -(-len(lit) // rows), " " * (rows - 2)
    lines = [_cut(top, width)]
    for number in range(rows):
        row = lit[number * across : (number + 1) * across]
        lamps = ((f"{SIGNS[lamp.light]}{step}", _COLOURS[lamp.light]) for lamp in row)
        parts = [(" ", ""), *lamps]
        if number == 0:
            room = width - across * (rows - 1) - 3
            head, sign = f"{worth.numbers} · {worth.risk} · ", standing_sign(worth)
            texts = (worth.status, worth.brief)
            said = [f"{head}{sign}{printable(text)}" for text in texts]
            least = worth.after if rows == 2 else f"{sign}{worth.brief}"  # as the app has it
            said += [f"{worth.numbers} · {least}"]
            parts += [("  ", ""), (next((x for x in said if len(x) <= room), said[-1]), _BOLD)]
        lines.append(_cut(parts, width))
    return [*lines, ""]


def _listed(rows: Sequence[Row]) -> Iterator[list[Part]]:
    for group, members in arranged(rows, SortOrder.RISK, None).items():
        folded = group == NOT_CHECKED
        names = f"  {', '.join(row.cap.short for row in members)}" if folded else ""
        yield [(f"  {group} ", _BOLD), (f"{len(members)}{names}", _DIM)]
        for row in () if folded else members:
            count = f"{short_count(row.checks or row.incidental):>6}× " if row.checks else ""
            yield [
                ("  ", ""),
                (f"{SIGNS[row.light]} ", _COLOURS[row.light]),
                (f"{row.cap.short:19}", _BOLD),
                (f"{row.risk:16}", "1;31" if row.risk == "root-equivalent" else ""),
                (count, _DIM),
                (row.call, ""),
            ]


def _cut(parts: Sequence[Part], width: int) -> str:
    """One line, cut at the width; without colours if the user wants none."""
    plain, line = bool(os.environ.get("NO_COLOR")), ""
    for text, look in parts:
        shown, width = text[:width], width - len(text)
        if plain:
            look = ";".join(code for code in look.split(";") if code in (_BOLD, _DIM, _REVERSE))
        line += f"\x1b[{look}m{shown}\x1b[0m" if look and shown else shown
        if width <= 0:
            break
    return line
