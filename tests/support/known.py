"""Known programs as they do not change when the table is made again: for what is compared word by
word."""

from __future__ import annotations

import pytest

from capadvise.catalog import default

_SET = ["CAP_CHOWN", "CAP_SETGID", "CAP_SETUID", "CAP_NET_BIND_SERVICE"]
NGINX = {
    "programs": {"nginx": "nginx"},
    "commands": {"nginx": "nginx"},
    "images": {"nginx": "nginx"},
    "units": {"nginx": "nginx", "web@": "nginx"},
    "sets": {
        "nginx": {
            "version": "1.26.3-3+deb13u11",
            "variants": [
                {"name": "port 80", "user": "root", "recommended": _SET, "floor": _SET},
                {"name": "port 8080", "user": "root", "recommended": _SET[:3], "floor": _SET[1:3]},
                {"name": "by a user", "user": "www-data", "recommended": [], "floor": []},
            ],
        }
    },
}
"""The index of a table with one program."""


def nginx_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table has one program, as above."""
    monkeypatch.setattr(default().known_index, "raw", NGINX)
