"""What the three screens of the review share: their texts are as wide as the panes they are in."""

from __future__ import annotations

from textual.containers import Vertical
from textual.events import Resize
from textual.geometry import Size
from textual.widget import Widget


class Fitted(Vertical):
    """A screen that is drawn again when its size is another one, but not each time that it is
    shown again: nothing would change."""

    _drawn_for = Size()

    def draw_all(self) -> None:
        """Draw what depends on the size."""
        raise NotImplementedError

    def in_sight(self, pane: Widget) -> bool:
        """Whether a pane is there to be drawn; one that is hidden is drawn when it is shown."""
        if not pane.size:
            self._drawn_for = Size()
        return bool(pane.size)

    def on_resize(self, event: Resize) -> None:
        """It also comes when the screen is shown again."""
        if event.size != self._drawn_for:
            self._drawn_for = event.size
            self.call_after_refresh(self.draw_all)
