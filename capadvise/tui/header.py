"""The top of the screen: the tabs, the lamps, the score of the chosen set, and the status."""

import shlex
import signal
from collections import Counter
from collections.abc import Callable, Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.events import Click
from textual.geometry import Region
from textual.strip import Strip
from textual.style import Style
from textual.visual import RenderOptions
from textual.widget import Widget
from textual.widgets import Static

from capadvise.judgement.conclusion import PASSED, Conclusion, Standing
from capadvise.model.caps import Cap
from capadvise.model.escape import printable
from capadvise.model.wording import counted
from capadvise.report.lamps import SIGNS, Lamp, Light, Score
from capadvise.tui.choice import Choice
from capadvise.tui.livetab import health_text
from capadvise.tui.look import (
    LIGHT_STYLES,
    clock,
    end_text,
    ended_well,
    numbers_text,
    risks_text,
    score_text,
    status_text,
)
from capadvise.tui.page import Wrapped
from capadvise.tui.state import TargetState
from capadvise.tui.tabs import LABELS
from capadvise.workflow.protocols import LiveSource

_SHORT = {Light.ROOT: "root-equivalent"}
_IN_TRIAL = _SHORT | {
    Light.NEEDED: "held",
    Light.OPTIONAL_KEPT: "optional, held",
    Light.DROPPED: "left out",
}
"""The meaning of lights while a trial runs."""


class TabLabel(Static):
    """The label of a tab; a click goes there."""

    def __init__(self, name: str, label: str) -> None:
        super().__init__(Content(label), id=f"tab-{name}")
        self.tab = name

    async def on_click(self, event: Click) -> None:
        event.stop()
        await self.screen.run_action(f"go('{self.tab}')")


class Tabs(Horizontal):
    """The top line."""

    def __init__(self) -> None:
        super().__init__(id="top")

    def compose(self) -> ComposeResult:
        yield Static(" capadvise ", id="name")
        for name, label in LABELS.items():
            yield TabLabel(name, label)
        yield Static(id="run", markup=False)

    def mark(self, tab: str, title: Content, *, live: bool) -> None:
        """Mark the tab that is shown, and set the title. ``live``: there is a recording."""
        for item in self.query(TabLabel):
            item.set_class(item.tab == tab, "-active")
            item.set_class(item.tab == "live" and not live, "-nothing")
        self.query_one("#run", Static).update(title)


class Board(Wrapped):
    """The lamps, and beside them the score, the legend and the status."""

    def __init__(
        self,
        lit: Sequence[Lamp],
        score: Score,
        state: Content,
        selected: Cap | None,
        *,
        shape: str,
        step: Content,
        in_trial: bool,
    ) -> None:
        """``shape``: ``small`` or ``usual``; ``step``: the next one; ``in_trial``: the
        lamps are those of a trial."""
        self._lamps, self._score, self.state = lit, score, state
        self._selected, self._shape, self._step = selected, shape, step
        self._words = _IN_TRIAL if in_trial else _SHORT
        self.lit = tuple(lit), score, selected, shape, step.plain, in_trial
        """All but the status, which is in the last row."""
        self._still: list[Strip] = []
        self._still_for: tuple[int, Style] | None = None

    def go_on(self, state: Content) -> None:
        """Change the status, and nothing else."""
        self.state, self._width = state, -1

    def render_strips(
        self, width: int, height: int | None, style: Style, options: RenderOptions
    ) -> list[Strip]:
        """Draw again only the last row, which has the time, while the target is idle."""
        if options.selection is not None:
            return super().render_strips(width, height, style, options)
        if self._still_for != (width, style):
            above = Content("\n").join(self._above(width))
            self._still = above.render_strips(width, None, style, options)
            self._still_for = width, style
        return [*self._still, *self._last(width).render_strips(width, None, style, options)]

    def lines(self, width: int) -> list[Content]:
        return [*self._above(width), self._last(width)]

    def _above(self, width: int) -> list[Content]:
        side = self._side(width)
        return [Content.assemble(self._row(row), side[row]) for row in range(self._rows - 1)]

    def _last(self, width: int) -> Content:
        state = Content.assemble(self._before_state(width), self.state)
        return Content.assemble(
            self._row(self._rows - 1), state.truncate(self._room(width), ellipsis=True)
        )

    @property
    def _rows(self) -> int:
        return 2 if self._shape == "small" else 3

    @property
    def _across(self) -> int:
        return -(-len(self._lamps) // self._rows)

    def _row(self, row: int) -> Content:
        """Lamps, closer to each other on a small screen."""
        step, across = self._rows - 1, self._across
        lamps = self._lamps[row * across : (row + 1) * across]
        lit = Content("").join(self._cell(lamp).pad_right(step - 1) for lamp in lamps)
        return Content.assemble(" ", lit.pad_right((across - len(lamps)) * step), "  ")

    def _room(self, width: int) -> int:
        """The cells beside the lamps."""
        return width - self._across * (self._rows - 1) - 3

    def _cell(self, lamp: Lamp) -> Content:
        style = LIGHT_STYLES[lamp.light] + (" reverse" if lamp.cap == self._selected else "")
        press = Style.from_meta({"@click": f"screen.lamp({int(lamp.cap)})"})
        return Content.styled(SIGNS[lamp.light], style).stylize(press)

    @property
    def _gap(self) -> str:
        return "   " if self._step else ""

    def _side(self, width: int) -> list[Content]:
        """The lines above the status, the most important first; there may be one only."""
        score, room = self._score, self._room(width)
        for brief in (False, True):
            whole = score_text(score, brief=brief)
            if whole.cell_length <= room:
                return [whole, self._with_step(self._legend, room)]
        if self._shape != "small":
            first = Content.assemble(numbers_text(score), " · ", status_text(score, brief=True))
            return [first, self._with_step(lambda _: risks_text(score), room)]
        first = Content.assemble(numbers_text(score), " · ", risks_text(score))
        if first.cell_length > room:
            first = Content.assemble(numbers_text(score), " · ", score.after)
        return [first]

    def _with_step(self, more: Callable[[int], Content], room: int) -> Content:
        """The next step, and more in the room beside it."""
        left = max(room - self._step.cell_length - len(self._gap), 0)
        line = Content.assemble(self._step, self._gap, more(left))
        return line.truncate(room, ellipsis=True)

    def _before_state(self, width: int) -> Content:
        """The rest, without a place above the status: a part of the score, and the next step."""
        whole = score_text(self._score, brief=True)
        if self._shape != "small":
            return Content("")
        step = Content.assemble(self._step, " · ") if self._step else Content("")
        if whole.cell_length <= self._room(width):
            return step
        return Content.assemble(status_text(self._score, brief=True), " · ", step)

    def _legend(self, room: int) -> Content:
        """The meaning of the signs with the number of each, as far as there is room."""
        counts = Counter(lamp.light for lamp in self._lamps)
        line = Content("")
        for light in Light:
            if not counts[light]:
                continue
            item = Content.assemble(
                (SIGNS[light], LIGHT_STYLES[light]),
                (f" {counts[light]} {self._words.get(light, light)}", "dim"),
            )
            longer = Content.assemble(line, "  " if line else "", item)
            if longer.cell_length > room:
                break
            line = longer
        return line


class Lamps(Widget):
    """Shows a board. While a target is idle, it draws only the row with the time."""

    def __init__(self, shape: str) -> None:
        super().__init__(id="board", classes=f"-{shape}")
        self.auto_links = False  # a lamp is clicked, and keeps its colour
        self._board: Board | None = None

    def show(self, board: Board) -> None:
        before = self._board
        if before is None or before.lit != board.lit:
            self._board = board
            self.refresh()
        elif before.state.plain != board.state.plain:
            before.go_on(board.state)
            width, height = self.content_size
            self.refresh(Region(0, height - 1, width, 1))

    def render(self) -> Board | str:
        return self._board or ""


def shape_of(width: int, height: int) -> str:
    """How the lamps are laid out on a screen of this size."""
    return "small" if height < 20 or width < 70 else "usual"


def doing(
    source: LiveSource | None, state: TargetState, *, hint: bool = False, frozen: bool = False
) -> Content:
    """The status in a line: the time of a recording and what was seen and dropped, or the origin of
    a review. ``hint``: say how to go on."""
    if source is None:
        return _recorded(state)
    if state.over is not None:
        head = _ended(state)
        return Content.assemble(head, " · ", ("Enter: review", "bold")) if hint else head
    parts = [_recording(state, frozen=frozen), *_seen(source, state)]
    if state.now.health is not None:
        parts.insert(1, health_text(state.now))
    elif source.check and state.now.seconds:
        parts.insert(1, Content.styled("health check pending", "dim"))
    return Content(" · ").join(parts)


def _recording(state: TargetState, *, frozen: bool) -> Content:
    now, note = state.now, ("  display frozen", "$text-warning") if frozen else ""
    if not now.seconds:
        return Content("starting …")
    if now.stopping is not None:
        left = f"{max(now.stopping, 0):.0f} s"
        return Content.assemble(("■ stopping", "bold $text-warning"), f", killed in {left}")
    if now.ended:
        return Content.assemble(("■ ", "bold"), "exited", note)
    whole = f"{int(now.seconds)} s" if now.seconds < 60 else clock(now.seconds)
    return Content.assemble(("● ", "$text-error"), f"recording {whole}", note)


def _seen(source: LiveSource, state: TargetState) -> list[Content]:
    """The events that the observer lost, the checks, and the observer. Lost events come first:
    there may be no room for the rest."""
    now, observer = state.now, source.observer
    lost = now.lost.total
    checks = sum(tally.count for tally in now.tallies)
    dropped = Content.styled(f"{lost} events dropped", "bold $text-warning")
    parts = [dropped] if lost else []
    parts.append(Content(counted(checks, "capability check")))
    if observer:
        notes = [observer] if lost else ["none dropped", observer]
        parts += [Content.styled(text, "dim") for text in notes]
    return parts


def _ended(state: TargetState) -> Content:
    over, reported = state.over, state.reported
    if over is None or reported is None:
        return Content.assemble(end_text(None), f" after {clock(state.now.seconds)}")
    recording, standing = over.report.recording, reported.standing
    seconds, status = clock(recording.seconds), recording.exit_status
    good = standing in PASSED or standing is Standing.RECORDED
    if standing is Standing.CHECK_FAILED:
        more = "" if status is None else f", exited with {status}"
        failed = ("✗ ", "bold $text-error")
        return Content.assemble(failed, f"health check failed after {seconds}{more}")
    # A saved recording that was stopped since its check passed: SIGTERM, and success.
    stopped = recording.succeeded is True and status == 128 + signal.SIGTERM
    if over.check_passed or stopped:
        sign = ("✓ ", "bold $text-success") if good else ("■ ", "bold")
        return Content.assemble(sign, f"health check passed after {seconds}, so it was stopped")
    if recording.attached:
        return Content(f"■ detached after {seconds}")
    if recording.interrupted:
        how = ("■ ", "bold") if ended_well(status) else Content.assemble(end_text(status), " · ")
        return Content.assemble(how, f"you stopped it after {seconds}")
    return Content.assemble(end_text(status, good=good), f" after {seconds}")


def _recorded(state: TargetState) -> Content:
    assert state.over is not None
    recordings = state.over.report.recordings
    checks = sum(check.count for item in recordings for check in item.checks)
    lost = sum(item.lost.total for item in recordings)
    seconds = clock(sum(item.seconds for item in recordings))
    runs = f"{len(recordings)} runs, " if len(recordings) > 1 else ""
    return Content.assemble(
        (f"{lost} events dropped · " if lost else "", "bold $text-warning"),
        f"{runs}{seconds} recorded · {counted(checks, 'capability check')}",
        (f" · {recordings[0].host.observer}", "dim"),
    )


# ------------------------------------------------------------ the next step


_KEYS = {
    "a": "applies it",
    "p": "proves it",
    "s": "saves it",
    "t": "takes the minimal set",
    "y": "tests this set",
}


def next_step(state: TargetState, *, can_prove: bool, can_apply: bool) -> Content:
    """``next: p proves it``; empty while something is recorded or tried, and once it is saved."""
    conclusion, choice = state.conclusion, state.choice
    if conclusion is None or choice is None or state.trial_caps is not None:
        return Content("")
    if state.saved and conclusion.standing in PASSED:
        return Content.styled("saved", "$text-success")
    key = _key(conclusion, choice, can_prove=can_prove, can_apply=can_apply)
    if key is None:
        path = state.over.path if state.over is not None else None
        words = conclusion.next.of(str(path or "REPORT"))
        return Content.assemble(("next: ", "dim"), printable(shlex.join(words)))
    press = Style.from_meta({"@click": f"app.simulate_key('{key}')"})
    step = Content.assemble((key, "bold $footer-key-foreground"), f" {_KEYS[key]}").stylize(press)
    return Content.assemble(("next: ", "dim"), step)


def _key(conclusion: Conclusion, choice: Choice, *, can_prove: bool, can_apply: bool) -> str | None:
    verb, *options = conclusion.next.words[1:]
    if verb == "emit":
        if "minimal" in options and choice.caps != conclusion.minimal:
            return "t"
        return "a" if can_apply else "s"
    if verb == "prove" and can_prove:
        return "y" if choice.toggled and choice.trial() is None else "p"
    return None
