"""The first screen: the capabilities, and beside them why, the evidence and the snippet."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.reactive import reactive
from textual.widgets import Input, OptionList, Static

from capadvise.catalog import Catalog
from capadvise.report.escape import printable
from capadvise.tui import help
from capadvise.tui.capabilities import Capabilities
from capadvise.tui.choice import Choice, compared, cost, status
from capadvise.tui.evidence import EvidenceTree
from capadvise.tui.fitted import Fitted
from capadvise.tui.look import show_snippet
from capadvise.tui.saving import rendered
from capadvise.tui.why import Uses, why

VIEWS = ("why", "evidence", "snippet")
"""What stands beside the list; one at a time where there is little room."""


def _status_style(choice: Choice) -> str:
    trial = choice.trial()
    if trial is None:
        return "dim"
    return "$text-success" if trial.passed else "$text-error"


class Review(Fitted):
    """The first screen. ``choice`` and ``format_name`` are set from outside."""

    HELP = help.REVIEW

    choice: reactive[Choice] = reactive(lambda: None, init=False)  # type: ignore[arg-type,return-value]
    format_name = reactive("compose", init=False)
    view = reactive("why", init=False)

    def __init__(self, choice: Choice, catalog: Catalog, uses: Uses) -> None:
        super().__init__(id="review")
        self.set_reactive(Review.choice, choice)
        self.catalog = catalog
        self.uses = uses

    def compose(self) -> ComposeResult:
        with Vertical(id="left"):
            yield Input(placeholder="name, verdict, what for …", id="search", compact=True)
            yield Capabilities(self.choice, self.catalog)
            with VerticalScroll(id="status-box", can_focus=False):
                yield Static(id="status", markup=False)
        with VerticalScroll(id="why", can_focus=True):
            yield Static(id="why-text", markup=False)
        with VerticalScroll(id="snippet", can_focus=True):
            yield Static(id="snippet-text", markup=False)
        yield EvidenceTree()

    def on_mount(self) -> None:
        """Titles, and a first drawing."""
        self.query_one("#left").border_title = "Capabilities"
        self.query_one("#left").border_subtitle = "/ search"
        self.query_one("#snippet").border_subtitle = "f next format"
        self.query_one("#search").display = False
        self.watch_view(self.view)
        self.draw_all()

    @property
    def caps(self) -> Capabilities:
        """The list."""
        return self.query_one(Capabilities)

    def watch_view(self, view: str) -> None:
        """Bring one pane to the front (the others show where there is room)."""
        for name in VIEWS:
            self.query_one(f"#{name}").set_class(name == view, "-front")
        self.call_after_refresh(self.draw_all)

    def watch_choice(self, before: Choice, now: Choice) -> None:
        """Draw what changed."""
        self.caps.choice = now
        if before.report is now.report and before.base is now.base:
            for cap in before.toggled ^ now.toggled:
                self.caps.redraw(cap)
        else:
            self.caps.fill()
            self._show_evidence()
        self.draw_all()

    def watch_format_name(self) -> None:
        """Another language, in sight."""
        if self.has_class("narrow"):
            self.view = "snippet"
        self.draw_all()

    def draw_all(self) -> None:
        """All but the list and the evidence."""
        self._draw_why()
        text = rendered(self.choice, self.format_name, self.catalog)
        show_snippet(self.query_one("#snippet-text", Static), text)
        self.query_one("#snippet").border_title = self.format_name
        self.query_one("#status", Static).update(self._status())

    def _draw_why(self) -> None:
        """What there is to say of the highlighted one."""
        cap, box = self.caps.selected, self.query_one("#why")
        if self.in_sight(box) and cap is not None:
            box.border_title = cap.name
            need = self.choice.report.proposal.need(cap)
            text = why(self.choice, need, self.catalog, self.uses, box)
            self.query_one("#why-text", Static).update(text)

    def _status(self) -> Content:
        choice = self.choice
        lines = [
            Content.assemble(
                (f"{choice.name[:1].upper()}{choice.name[1:]}", "bold $text-primary"),
                f": {len(choice.caps)} kept",
            ),
            Content.styled(status(choice), _status_style(choice)),
            *([Content(lost)] if (lost := cost(choice)) else []),
            *(
                Content.assemble(("Caution: ", "$text-warning"), printable(text))
                for text in choice.report.proposal.cautions
            ),
            *(
                Content.styled(text, "dim")
                for text in compared(choice, self.catalog, self.format_name)
            ),
        ]
        return Content("\n").join(lines)

    def _show_evidence(self) -> None:
        cap = self.caps.selected
        if cap is not None:
            tree = self.query_one(EvidenceTree)
            tree.show(self.choice.report.proposal.need(cap))
            tree.border_title = f"Evidence: {cap.short}"

    # ------------------------------------------------------------------------- what users do

    @on(OptionList.OptionHighlighted, "#caps")
    def _highlighted(self) -> None:
        self.query_one("#why", VerticalScroll).scroll_home(animate=False)
        self._draw_why()
        self._show_evidence()

    @on(OptionList.OptionSelected, "#caps")
    def _selected(self, event: OptionList.OptionSelected) -> None:
        """Enter or a click: unfold the rest, or look at the evidence."""
        if event.option.id == "fold":
            self.fold()

    def fold(self) -> None:
        """Show or hide what was never asked for."""
        self.caps.unfolded = not self.caps.unfolded
        self.caps.fill()

    def search(self) -> None:
        """Open the search."""
        field = self.query_one("#search", Input)
        field.display = True
        self.screen.set_focus(field)  # at once: the next key is for it

    def end_search(self) -> None:
        """Close it and show everything again."""
        field = self.query_one("#search", Input)
        field.value = ""
        field.display = False
        self.caps.focus()

    @property
    def searching(self) -> bool:
        """Whether the search is open."""
        return bool(self.query_one("#search").display)

    @on(Input.Changed, "#search")
    def _search_changed(self, event: Input.Changed) -> None:
        self.caps.wanted = event.value
        self.caps.fill()

    @on(Input.Submitted, "#search")
    def _search_done(self) -> None:
        self.caps.focus()

    def next_view(self) -> None:
        """The next pane to the front, with the focus where it was in the old one."""
        self.view = VIEWS[(VIEWS.index(self.view) + 1) % len(VIEWS)]

    def on_resize(self, event: Resize) -> None:
        """One pane at a time where there is little room; ``Fitted`` is told afterwards."""
        self.set_class(event.size.width < 110 or event.size.height < 26, "narrow")
        self.set_class(event.size.width < 70, "stacked")
