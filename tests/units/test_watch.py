"""A unit that is refused something is named, with what to write into it."""

from __future__ import annotations

import pytest

from tests.support.guest import Guest
from tests.support.watching import watching

UNIT = """\
[Service]
Type=oneshot
ExecStart=-/usr/bin/chown 5 /srv
{more}
"""


@pytest.mark.parametrize(
    ("more", "cure"),
    [
        ("CapabilityBoundingSet=CAP_KILL", '"CapabilityBoundingSet=CAP_CHOWN"'),
        ("User=nobody", '"AmbientCapabilities=CAP_CHOWN"'),
        (
            "User=nobody\nCapabilityBoundingSet=CAP_KILL",
            '"CapabilityBoundingSet=CAP_CHOWN and AmbientCapabilities=CAP_CHOWN"',
        ),
    ],
)
def test_what_a_unit_lacks(guest: Guest, more: str, cure: str) -> None:
    """Its process is over at once: the kernel has told whose it was."""
    name = f"lacks-{abs(hash(more))}.service"
    guest.unit(name, UNIT.format(more=more))
    with watching("--json") as watch:
        guest.systemctl("start", name)
        row = watch.row(lambda row: row["owner"] == name and row["caps"] == ["CAP_CHOWN"])
    assert row["owner_kind"] == "unit"
    assert row["about"] == "/srv, uid 5"
    assert row["cure"] == f"{cure}; or chown /srv once, beforehand"
