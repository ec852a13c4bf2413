"""What the tabs tell the app, where all of them tell the same."""

from __future__ import annotations

from textual.message import Message


class Moved(Message):
    """Another capability is highlighted."""


class Begun(Message):
    """The screen is there, and its keys work."""
