"""A container as it was configured: its user, and its time to stop."""

from __future__ import annotations

import json

import pytest

from capadvise.targets.client.container import Container, parse_inspect
from capadvise.targets.running.target import configured_user, entry_of

PASSWD = "root:x:0:0::/root:/bin/sh\nbroken\nredis:x:999:998::/data:/bin/sh\n"


@pytest.mark.parametrize(
    ("user", "expected"),
    [("", "0:0"), ("1000", "1000:0"), ("1000:1001", "1000:1001"), ("nobody-here-by-name", None)],
)
def test_the_users_own_words(user: str, expected: str | None) -> None:
    assert configured_user(_configured(User=user)) == expected


@pytest.mark.parametrize(
    ("given", "seconds"), [(None, 10), (0, 0), (60, 60), (-1, 300), ("9", 10), (True, 10)]
)
def test_its_time_to_stop(given: object, seconds: float) -> None:
    assert _configured(StopTimeout=given).stop_seconds == seconds


def _configured(**config: object) -> Container:
    raw = {
        "Id": "a" * 64,
        "Name": "/web",
        "Image": "image",
        "Config": config,
        "State": {"Status": "running", "Pid": 1},
        "HostConfig": {},
    }
    (container,) = parse_inspect("docker", json.dumps([raw]))
    return container


def test_names_are_looked_up_in_the_container() -> None:
    assert entry_of(PASSWD, "redis") == ("999", "998")
    assert entry_of(PASSWD, "broken") == ("", "")
