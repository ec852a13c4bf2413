"""Screens that are drawn in the size of the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.geometry import Size

if TYPE_CHECKING:
    from textual.screen import Screen

    Base = Screen[Any]
else:
    Base = object


class Fitting(Base):
    """For a screen to inherit. Textual's own tells itself of each size that it was drawn in: where
    two sizes wait in its queue, each brings up the other, for ever."""

    def _screen_resized(self, size: Size) -> None:
        if size == self.app.size:  # else another one follows
            super()._screen_resized(size)
