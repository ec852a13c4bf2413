"""As whom a container was configured to start."""

from __future__ import annotations

import json

import pytest

from capadvise.targets.client.container import parse_inspect
from capadvise.targets.running.target import configured_user, entry_of

PASSWD = "root:x:0:0::/root:/bin/sh\nbroken\nredis:x:999:998::/data:/bin/sh\n"


@pytest.mark.parametrize(
    ("user", "expected"),
    [("", "0:0"), ("1000", "1000:0"), ("1000:1001", "1000:1001"), ("nobody-here-by-name", None)],
)
def test_the_users_own_words(user: str, expected: str | None) -> None:
    raw = {
        "Id": "a" * 64,
        "Name": "/web",
        "Image": "image",
        "Config": {"User": user},
        "State": {"Status": "running", "Pid": 1},
        "HostConfig": {},
    }
    (container,) = parse_inspect("docker", json.dumps([raw]))
    assert configured_user(container) == expected


def test_names_are_looked_up_in_the_container() -> None:
    assert entry_of(PASSWD, "redis") == ("999", "998")
    assert entry_of(PASSWD, "broken") == ("", "")
