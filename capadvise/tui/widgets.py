"""The parts of all screens: the bottom line with the keys, lists and panes with more keys, and a
base that fits the size of the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rich.style import Style as RichStyle
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.geometry import Size
from textual.screen import Screen
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style
from textual.widget import Widget
from textual.widgets import OptionList, Static

from capadvise.tui.page import Wrapped


def moving(down: str, up: str, top: str, bottom: str) -> list[BindingType]:
    """The keys of pagers for these actions."""
    actions = {"j": down, "k": up, "g": top, "G": bottom}
    return [Binding(key, action, show=False) for key, action in actions.items()]


class KeyedList(OptionList):
    """A list in which j and k, g and G move, too."""

    BINDINGS: ClassVar = moving("cursor_down", "cursor_up", "first", "last")


SCROLLING = moving("scroll_down", "scroll_up", "scroll_home", "scroll_end")
"""The keys of everything that scrolls."""


class KeyedScroll(VerticalScroll, can_focus=True):
    """A pane of text that the same keys scroll."""

    BINDINGS: ClassVar = SCROLLING

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """The height of the text wrapped beside the scroll bar. Textual forgets the bar, and would
        show one in a pane that is too low by a row."""
        return super().get_content_height(container, viewport, width - self.scrollbar_size_vertical)


_LAST = ("stop", "kill", "leave", "help", "command_palette")
"""The keys that are always shown, at the end."""


class Keys(Static):
    """The keys that would do something now, in one line; a click presses one. Textual's own line is
    made of widgets, and takes three layouts each time the focus moves."""

    def __init__(self) -> None:
        super().__init__(id="keys", markup=False)

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self.draw)

    def on_resize(self) -> None:
        self.draw(self.screen)

    def draw(self, screen: Screen[object]) -> None:
        """Draw the keys of a screen, as many as there is room for."""
        if screen is not self.screen:
            return
        shown: dict[str, Binding] = {}
        for active in screen.active_bindings.values():
            if active.binding.show or active.binding.action == "command_palette":
                shown.setdefault(active.binding.action, active.binding)
        items = {action: self._key(binding) for action, binding in shown.items()}
        last = [items.pop(name) for name in _LAST if name in items]
        end = Content(" ").join(last)
        line = Content("")
        for item in items.values():
            longer = Content.assemble(line, " " if line else "", item)
            if longer.cell_length + end.cell_length + 1 > self.size.width:
                break
            line = longer
        room = self.size.width - line.cell_length - end.cell_length
        self.update(Content.assemble(line, " " * max(room, 0), end), layout=False)

    def _key(self, binding: Binding) -> Content:
        """``s Save``, to be clicked."""
        press = Style.from_meta({"@click": f"app.simulate_key('{binding.key}')"})
        return Content.assemble(
            (self.app.get_key_display(binding), "bold $footer-key-foreground"),
            f" {binding.description}",
        ).stylize(press)


def selectable(strip: Strip, row: int, selection: Selection | None) -> Strip:
    """A drawn row in which text can be selected, with what is selected of it marked."""
    span = selection.get_span(row) if selection is not None else None
    if span is not None:
        start, end = span[0], strip.cell_length if span[1] < 0 else span[1]
        cuts = [min(cut, strip.cell_length) for cut in (start, max(start, end))]
        before, marked, after = strip.divide([*cuts, strip.cell_length])
        strip = Strip.join([before, marked.apply_style(RichStyle(reverse=True)), after])
    return strip.apply_offsets(0, row)


def selected_in(widget: Widget, selection: Selection) -> str:
    drawn = widget.render()
    if isinstance(drawn, Wrapped):
        return selection.extract(drawn.at(widget.content_size.width).plain)
    text = widget.get_selection(selection)
    return "" if text is None else text[0]


if TYPE_CHECKING:
    Base = Screen[Any]
else:
    Base = object


class Fitting(Base):
    """A base of screens. Textual's own screen sends itself each size that it was drawn in: if two
    sizes wait in its queue, each brings up the other for ever."""

    def _screen_resized(self, size: Size) -> None:
        if size == self.app.size:  # else another one follows
            super()._screen_resized(size)
