"""What is said where something ends before it is followed."""

from __future__ import annotations

import pytest

from capadvise.model.errors import BadInput
from capadvise.model.target import Target
from capadvise.observe.supervise.command import Command
from capadvise.targets.running.record_running import attach
from capadvise.targets.running.target import Running

_NOBODY = 2**22 + 1
"""No pid is as large."""


@pytest.mark.parametrize(
    ("kind", "said", "hint"),
    [
        ("container", "docker container web has ended", "capadvise run, then the command"),
        ("command", f"process {_NOBODY} has ended", ""),
    ],
)
def test_what_has_ended_is_called_as_the_user_does(kind: str, said: str, hint: str) -> None:
    """A container that is restarted again and again is another process each time."""
    engine = "docker" if kind == "container" else None
    target = Target(kind, "web", ("web",), "/", "0:0", engine=engine)
    with pytest.raises(BadInput, match=said) as raised:
        attach(Running(_NOBODY, target), Command(()))
    assert hint in (raised.value.hint or "")
