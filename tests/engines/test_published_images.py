"""Images as they are published: one call proves a set that survives a restart, a new volume and a
folder of another owner. More of them: ``python -m tests.images.run``."""

from __future__ import annotations

import pytest

from tests.images.recipe import recipe
from tests.images.run import tried

pytestmark = [pytest.mark.kernel]


@pytest.mark.parametrize(
    ("name", "minimal"),
    [
        ("nginx", {"CHOWN", "SETGID", "SETUID"}),
        pytest.param("scratch", set(), marks=pytest.mark.long),
        pytest.param(
            "redis", {"CHOWN", "DAC_OVERRIDE", "SETGID", "SETUID"}, marks=pytest.mark.long
        ),
        pytest.param("haproxy", set(), marks=pytest.mark.long),
        pytest.param("fuse", {"DAC_OVERRIDE", "SYS_ADMIN"}, marks=pytest.mark.long),
    ],
)
def test_what_is_proven_without_any_option_holds(name: str, minimal: set[str]) -> None:
    row = tried(recipe(name))
    assert row.proven, row.said
    assert not row.failures
    assert not row.spare
    assert {*row.minimal} == minimal
