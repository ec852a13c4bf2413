"""The Review tab: the capabilities, and beside them why, the evidence and the snippet."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.events import Resize
from textual.reactive import reactive
from textual.selection import Selection
from textual.strip import Strip
from textual.widgets import Input, OptionList, Static, Tree
from textual.widgets.tree import TreeNode

from capadvise.catalog import default
from capadvise.judgement.conclusion import ADDS_ONLY
from capadvise.judgement.decide import Need
from capadvise.judgement.judge import Effect, Judged
from capadvise.model.caps import Cap
from capadvise.model.escape import printable
from capadvise.report.compared import compared_in_short
from capadvise.report.text import ORIGINS, deciding_fit, in_short
from capadvise.report.words import DROP_ALL, loss_of, no_need, passed_text
from capadvise.tui.capabilities import Capabilities
from capadvise.tui.choice import Choice, compared, cost, status
from capadvise.tui.page import Code, Page
from capadvise.tui.rows import NOT_CHECKED, ByCap, search, shortened
from capadvise.tui.snippets import rendered
from capadvise.tui.state import TargetState
from capadvise.tui.tab import CapsTab, Moved, Opened, Shown
from capadvise.tui.why import why
from capadvise.tui.widgets import KeyedScroll, moving, selectable

VIEWS = ("why", "evidence", "snippet")
"""The panes beside the list. On a small screen, one is shown at a time."""
_DROP_ALL = Content.assemble(("Drop all of them. ", "bold $text-success"), "None needed.")


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
            meaning = no_need(conclusion)  # little, if the run failed
            page.say(_DROP_ALL if meaning == DROP_ALL else Content.styled(meaning, "$text-warning"))
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
        name = event.option.id or ""
        if name.startswith("title-"):
            self.caps.fold(name.removeprefix("title-"))

    def enter(self) -> None:
        """Into the pane that explains the highlighted one."""
        name = "evidence" if not self.has_class("narrow") else self.view
        self.query_one(f"#{name}").focus()

    def search(self) -> None:
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
        self.view = VIEWS[(VIEWS.index(self.view) + by) % len(VIEWS)]


# ------------------------------------------------------------------------- the evidence

PAGE = 100
"""Nodes that are added at a time."""


@dataclass(frozen=True, slots=True)
class ProgramChecks:
    """All checks of one program."""

    name: str
    judged: tuple[Judged, ...]


@dataclass(frozen=True, slots=True)
class More:
    """The rest of a long list of children."""

    items: Sequence[ProgramChecks | Judged]


Item = ProgramChecks | Judged | More | None
EFFECTS = {
    Effect.NEEDED: "needed",
    Effect.OPTIONAL: "refused in a run that ended well",
    Effect.INCIDENTAL: "incidental",
    Effect.DENIED: "no effect",
}


def programs(need: Need) -> list[ProgramChecks]:
    """The evidence by program; the program with the strongest evidence first."""
    by_name: dict[str, list[Judged]] = {}
    for judged in need.evidence:  # the deciding ones come first
        by_name.setdefault(judged.check.program, []).append(judged)
    return [ProgramChecks(name, tuple(items)) for name, items in by_name.items()]


class EvidenceTree(Tree[Item]):
    """The evidence for one capability: program → call → call site → what it means.

    Filled as it is unfolded, and so many nodes at a time: a recording can hold 100,000 distinct
    pieces of evidence. Labels are ``Text`` without markup: all names in them are hostile.
    """

    BINDINGS: ClassVar = [
        *moving("cursor_down", "cursor_up", "scroll_home", "scroll_end"),
        Binding("right", "unfold", "Unfold", show=False),
        Binding("left", "fold", "Fold", show=False),
    ]

    ALLOW_SELECT = True

    def __init__(self) -> None:
        super().__init__("", id="evidence")
        self._drawn: dict[int, str] = {}
        """The text of each row that was drawn: no other can be selected."""
        self.show_root = False
        self.show_guides = False
        self.guide_depth = 2
        self._need: Need | None = None
        self._width = 0
        self._programs = ByCap(programs)

    def on_resize(self) -> None:
        if self.content_size.width != self._width and self._need is not None:
            self.show(self._need)

    def render_line(self, y: int) -> Strip:
        strip, row = super().render_line(y), y + round(self.scroll_y)
        self._drawn[row] = strip.text
        return selectable(strip, row, self.text_selection)

    def get_selection(self, selection: Selection) -> tuple[str, str]:
        rows = (self._drawn.get(row, "") for row in range(max(self._drawn, default=-1) + 1))
        return selection.extract("\n".join(row.rstrip() for row in rows)), "\n"

    def show(self, need: Need) -> None:
        """The evidence of a need, folded but for its first program."""
        self._need, self._width = need, self.content_size.width
        self.clear()
        self.root.data = None
        self._add(self.root, self._programs.of(need))
        if not need.evidence:
            self.root.add_leaf(Text("no capability check was seen", style="dim"))
        self.root.expand()
        self.call_after_refresh(self._unfold_first)

    def _unfold_first(self) -> None:
        """The strongest evidence, down to the call site."""
        node = self.root
        while node.children and node.children[0].allow_expand:
            node = node.children[0]
            self._fill(node)
            node.expand()

    def action_unfold(self) -> None:
        """Unfold the node under the cursor, or go into it."""
        if self.cursor_node is not None and self.cursor_node.allow_expand:
            if self.cursor_node.is_expanded:
                self.action_cursor_down()
            else:
                self.cursor_node.expand()

    def action_fold(self) -> None:
        """Fold the node under the cursor, or go to what it belongs to."""
        node = self.cursor_node
        if node is None:
            return
        if node.is_expanded and node.allow_expand:
            node.collapse()
        elif node.parent is not None and not node.parent.is_root:
            self.move_cursor(node.parent)

    def on_tree_node_expanded(self, event: Tree.NodeExpanded[Item]) -> None:
        """Fill a node when it is first unfolded."""
        self._fill(event.node)

    def _fill(self, node: TreeNode[Item]) -> None:
        item = node.data
        if node.children:
            return
        if isinstance(item, ProgramChecks):
            self._add(node, item.judged)
        elif isinstance(item, Judged):
            width = max(self._width - 3 * self.guide_depth - 1, 24)
            for style, text in site_lines(item):
                for line in textwrap.wrap(text, width, subsequent_indent="  "):
                    node.add_leaf(Text(line, style=style))

    def on_tree_node_selected(self, event: Tree.NodeSelected[Item]) -> None:
        """Show more of a long list."""
        node = event.node
        if isinstance(node.data, More) and node.parent is not None:
            parent, items = node.parent, node.data.items
            line = node.line
            node.remove()
            self._add(parent, items)
            self.cursor_line = line

    def _add(self, node: TreeNode[Item], items: Sequence[ProgramChecks | Judged]) -> None:
        for item in items[:PAGE]:
            text = _program_line(item) if isinstance(item, ProgramChecks) else call_line(item)
            node.add(text, data=item)
        if rest := items[PAGE:]:
            node.add_leaf(Text(f"… {len(rest)} more: enter shows {PAGE}"), data=More(rest))


def _program_line(program: ProgramChecks) -> Text:
    count = sum(judged.check.count for judged in program.judged)
    text = Text(shortened(program.name) or "?", style="bold")
    text.append(f"  {count}×", style="dim not bold")
    return text


def call_line(judged: Judged) -> Text:
    """``bind, tcp 0.0.0.0:80  granted, needed  2×``."""
    check = judged.check
    text = Text(check.call)
    if check.detail:
        text.append(f", {shortened(check.detail)}")
    text.append(
        "  granted" if check.granted else "  refused", style="" if check.granted else "bold"
    )
    text.append(f", {'likely optional' if judged.likely_optional else EFFECTS[judged.effect]}")
    text.append(f"  {check.count}×", style="dim")
    return text


def site_lines(judged: Judged) -> Iterator[tuple[str, str]]:
    """(style, text): the call site, its meaning, and the process."""
    check, rule = judged.check, judged.rule
    chain = " ← ".join(shortened(name) for name in check.site[:12])
    yield "", chain or ORIGINS.get(check.origin, "no call site was recorded")
    retried = judged.check.retried is not None
    reason = "confirmed by retrying the call" if retried else "unknown call site, taken as needed"
    meaning = default().texts["meanings"][rule.meaning] if rule else reason
    yield "", f"means: {judged.why} ({meaning})"
    if judged.lost:
        yield "", f"without it: {loss_of(judged)}"
    user = f", uid {check.uid}" if check.uid is not None else ""
    result = "" if check.result is None else f", result {check.result}"
    yield "dim", f"pid {check.pid}{user}{result}, first after {check.first:.3f} s"
