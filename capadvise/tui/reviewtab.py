"""The Review tab: the capabilities, and beside them why, the evidence and the snippet."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.events import Resize
from textual.reactive import reactive
from textual.widgets import Input, OptionList, Static

from capadvise.judgement.conclusion import ADDS_ONLY, Conclusion
from capadvise.model.caps import Cap
from capadvise.model.escape import printable
from capadvise.report.compared import compared_in_short
from capadvise.report.text import deciding_fit, in_short
from capadvise.report.words import DROP_ALL, no_need, passed_text
from capadvise.tui.capabilities import Capabilities
from capadvise.tui.choice import Choice, compared, cost, status
from capadvise.tui.evidence import EvidenceTree
from capadvise.tui.page import Code, Page
from capadvise.tui.rows import NOT_CHECKED, search
from capadvise.tui.snippets import rendered
from capadvise.tui.state import TargetState
from capadvise.tui.tab import CapsTab, Moved, Opened, Shown
from capadvise.tui.why import why
from capadvise.tui.widgets import KeyedScroll

VIEWS = ("why", "evidence", "snippet")
"""The panes beside the list. On a small screen, one is shown at a time."""


def _none(conclusion: Conclusion) -> Content:
    """The meaning of an empty set, which is little if the run failed."""
    if (meaning := no_need(conclusion)) == DROP_ALL:
        return Content.assemble(("Drop all of them. ", "bold $text-success"), "None needed.")
    return Content.styled(meaning, "$text-warning")


class ReviewTab(CapsTab):
    """The Review tab."""

    FOCUS = "#caps"

    view = reactive("why", init=False)

    def __init__(self, name: str, opened: Opened) -> None:
        super().__init__(name, opened)
        self.caps = Capabilities("caps", folds=(NOT_CHECKED,))
        self._state: TargetState | None = None
        self._format = ""
        self._evidence_of: tuple[Choice, Cap] | None = None

    def compose(self) -> ComposeResult:
        with Vertical(id="left"):
            yield Input(placeholder="name, verdict, what for …", id="search", compact=True)
            yield self.caps
            with KeyedScroll(id="status-box"):
                yield Static(id="status", markup=False)
        with KeyedScroll(id="why"):
            yield Static(id="why-text", markup=False)
        with KeyedScroll(id="snippet"):
            yield Static(id="snippet-text", markup=False)
        yield EvidenceTree()

    def on_mount(self) -> None:
        self.query_one("#left").border_title = "Capabilities"
        self.query_one("#left").border_subtitle = "/ search"
        self.query_one("#search").display = False
        self.watch_view(self.view)

    def watch_view(self, view: str) -> None:
        """Bring one pane to the front; the others are shown if there is room."""
        for name in VIEWS:
            self.query_one(f"#{name}").set_class(name == view, "-front")

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.width < 110 or event.size.height < 22, "narrow")
        self.set_class(event.size.width < 70, "stacked")
        self.set_class(event.size.height < 16, "low")

    def show(self, shown: Shown) -> None:
        """Draw all of it."""
        state, format_name = shown.state, shown.format_name
        another = state is not self._state
        self._state, self._format = state, format_name
        if another:
            self._evidence_of = None
        choice = state.choice
        if choice is None:
            self.query_one("#why-text", Static).update("The review follows when it has ended.")
            return
        self.caps.show(state.review_rows())
        text = rendered(choice, format_name, self.catalog)
        self.query_one("#snippet-text", Static).update(Code(text))
        snippet = self.query_one("#snippet")
        snippet.border_title, snippet.border_subtitle = format_name, "f next format"
        self.query_one("#status", Static).update(self._status(choice, state))
        self.draw_why()

    def _status(self, choice: Choice, state: TargetState) -> Page:
        page, conclusion = Page(), state.conclusion
        assert conclusion is not None
        name = f"{choice.name[:1].upper()}{choice.name[1:]}"
        if not choice.caps and not choice.toggled and choice.passed is None:
            page.say(_none(conclusion))
        else:
            head = Content.styled(f"{name}: {len(choice.caps)} kept", "bold $text-primary")
            page.say(Content.assemble(head, ". ", status(choice, conclusion)))
        if lost := cost(choice):
            page.say(lost)
        for text in choice.report.proposal.cautions:
            page.say(Content.assemble(("Caution: ", "$text-warning"), printable(text)))
        if known := compared_in_short(choice.report, self.catalog.known_index, choice.caps):
            page.say(Content.styled(known, "dim"))
        if conclusion.also_passed and choice.passed is None:
            page.say(f"{passed_text(conclusion.also_passed[0])} passed, too: t chooses it.")
        if conclusion.standing not in ADDS_ONLY:
            page.say(Content.styled(compared(choice, self.catalog, self._format), "dim"))
        assert self._state is not None
        fit = deciding_fit(choice.report, self.catalog, choice.caps, self._state.places())
        if fit is not None:
            page.say(f"Fits a user namespace: {in_short(fit, names_only=True)}.")
        return page

    def draw_why(self) -> None:
        """Draw the panes on the highlighted capability."""
        cap, state = self.caps.selected, self._state
        if cap is None or state is None or state.choice is None:
            return
        box = self.query_one("#why")
        box.border_title = cap.name
        need = state.proposal.need(cap)
        place = state.places().get(cap)
        page = why(
            state.choice, need, self.catalog, state.uses.of(need), state.risks.get(cap), place
        )
        self.query_one("#why-text", Static).update(page)
        shown = self._evidence_of
        if shown is None or shown[1] != cap or shown[0].report is not state.choice.report:
            self._evidence_of = state.choice, cap
            tree = self.query_one(EvidenceTree)
            tree.show(need)
            tree.border_title = f"Evidence: {cap.short}"

    # ------------------------------------------------------------------------- the keys

    @on(OptionList.OptionHighlighted, "#caps")
    def _highlighted(self) -> None:
        self.query_one("#why", KeyedScroll).scroll_home(animate=False)
        self.draw_why()
        self.post_message(Moved())

    @on(OptionList.OptionSelected, "#caps")
    def _selected(self, event: OptionList.OptionSelected) -> None:
        """Fold or unfold a group."""
        name = event.option.id or ""
        if name.startswith("title-"):
            self.caps.fold(name.removeprefix("title-"))

    def enter(self) -> None:
        """Into the pane that explains the highlighted one."""
        name = "evidence" if not self.has_class("narrow") else self.view
        self.query_one(f"#{name}").focus()

    def search(self) -> None:
        """Open the search."""
        field = self.query_one("#search", Input)
        field.display = True
        self.screen.set_focus(field)  # at once: the next key is for it

    def end_search(self) -> None:
        """Close the search, and show everything again."""
        field = self.query_one("#search", Input)
        field.value = ""
        field.display = False
        self.caps.focus()

    @property
    def searching(self) -> bool:
        """True if the search is open."""
        return bool(self.query_one("#search").display)

    @on(Input.Changed, "#search")
    def _search_changed(self, event: Input.Changed) -> None:
        if self._state is None or self._state.choice is None:
            return
        choice = self._state.choice
        needs = {need.cap: need for need in choice.report.proposal.needs}
        self.caps.typed = event.value.strip()
        rows = self._state.review_rows()
        self.caps.wanted = search([row.cap for row in rows], needs, self.catalog, event.value)
        self.caps.show(rows)

    @on(Input.Submitted, "#search")
    def _search_done(self) -> None:
        self.caps.focus()

    def next_view(self, by: int = 1) -> None:
        """Bring the next pane to the front."""
        self.view = VIEWS[(VIEWS.index(self.view) + by) % len(VIEWS)]
