"""The evidence for one capability as a tree: program → call → call site → what it means.

Filled as it is unfolded, and so many nodes at a time: a recording can hold 100,000 distinct
pieces of evidence. Labels are ``Text`` without markup: all names in them are hostile.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding
from textual.selection import Selection
from textual.strip import Strip
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from capadvise.catalog import default
from capadvise.judgement.decide import Need
from capadvise.judgement.judge import Effect, Judged
from capadvise.report.text import ORIGINS
from capadvise.report.words import loss_of
from capadvise.tui.rows import ByCap, shortened
from capadvise.tui.widgets import moving, selectable

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
    """The tree; ``show`` fills it for another capability."""

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
        """The selected text."""
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
