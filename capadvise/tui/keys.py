"""The bottom line with the keys that would do something now, and the keys of every list."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.style import Style
from textual.widgets import OptionList, Static


class KeyedList(OptionList):
    """A list; j and k move in it, too."""

    BINDINGS: ClassVar = [
        Binding("j", "cursor_down", "Down", show=False),
        Binding("k", "cursor_up", "Up", show=False),
    ]


class Keys(Static):
    """The keys in one line; a click presses one. Textual's own line is made of widgets, and takes
    three layouts each time the focus moves."""

    def __init__(self) -> None:
        super().__init__(id="keys", markup=False)

    def on_mount(self) -> None:
        """Follow what the keys would do."""
        self.screen.bindings_updated_signal.subscribe(self, self.draw)

    def on_resize(self) -> None:
        """The palette's key is at the end, where there is room for it."""
        self.draw(self.screen)

    def draw(self, screen: Screen[object]) -> None:
        """The keys that would do something now."""
        if screen is not self.screen:
            return
        there = [item.binding for item in screen.active_bindings.values()]
        shown: dict[str, Binding] = {}
        for binding in there:
            if binding.show:
                shown.setdefault(binding.action, binding)
        line = Content(" ").join(map(self._key, shown.values()))
        for binding in there:
            if binding.action == "command_palette":
                last = self._key(binding)
                room = self.size.width - line.cell_length - last.cell_length
                line = Content.assemble(line, " " * room, last) if room > 1 else line
        self.update(line, layout=False)

    def _key(self, binding: Binding) -> Content:
        """``s Save``, to be clicked."""
        press = Style.from_meta({"@click": f"app.simulate_key('{binding.key}')"})
        return Content.assemble(
            (self.app.get_key_display(binding), "bold $footer-key-foreground"),
            f" {binding.description}",
        ).stylize(press)
