"""A run that cannot begin: what was made for it is removed."""

from __future__ import annotations

import os
import time

import pytest

from capadvise.errors import CannotObserve
from capadvise.linux import session, tracefs
from capadvise.linux.command import Command
from capadvise.linux.observe import observe


def test_what_fails_while_the_buffers_are_made_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the kernel hides its addresses, which is known sooner than the buffers are there."""

    def refuse() -> None:
        raise CannotObserve("the addresses are hidden")

    monkeypatch.setattr(session.Symbols, "load", refuse)
    with pytest.raises(CannotObserve, match="hidden"):
        observe(Command(("true",), wait=True))
    mine = f"{tracefs.PREFIX}{os.getpid()}-*"
    end = time.monotonic() + 10
    while list((tracefs.find() / "instances").glob(mine)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not list((tracefs.find() / "instances").glob(mine))
