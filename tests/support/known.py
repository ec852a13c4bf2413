"""Known programs as they do not change when the table is made again: for what is compared word by
word."""

from __future__ import annotations

import pytest

from capadvise.catalog import default
from capadvise.catalog.known import KnownNeed, KnownProgram, Made, Variant
from capadvise.catalog.known_index import KnownIndex

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
                {"name": "port 80", "user": "root", "recommended": _SET, "minimal": _SET},
                {
                    "name": "port 8080",
                    "user": "root",
                    "recommended": _SET[:3],
                    "minimal": _SET[1:3],
                },
                {"name": "by a user", "user": "www-data", "recommended": [], "minimal": []},
            ],
        }
    },
}
"""The index of a table with one program."""


def nginx_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table has one program, as above."""
    known = default().known
    monkeypatch.setattr(known.index, "raw", NGINX)
    monkeypatch.setitem(known._read, "nginx", _program(known.index))


def _program(index: KnownIndex) -> KnownProgram:
    row = index.row("nginx")
    variants = tuple(
        Variant(
            *(one.name, "tests nginx", "nginx", "true", one.recommended, one.minimal),
            trials=1,
            no_new_privileges=True,
            user_namespace="yes",
            needs=tuple(KnownNeed(cap, "a test", "it fails") for cap in sorted(one.recommended)),
            user=one.user,
        )
        for one in row.variants
    )
    return KnownProgram(
        *("nginx", "web server", "nginx-light", row.version),
        images=("nginx",),
        images_of_users=(),
        units=("nginx", "web@"),
        made=Made(capadvise="0", kernel="6", system="Debian", date="2026-01-01"),
        variants=variants,
        commands=("nginx",),
    )
