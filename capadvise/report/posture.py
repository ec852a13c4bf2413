"""The posture as JSON values, and back. The keys are the fields of ``capadvise.posture``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

from capadvise.posture import Cgroup, Exposed, Mac, Posture, Root, Seccomp, Sharing, User
from capadvise.report.values import optional, text

_T = TypeVar("_T")


def dump_posture(posture: Posture) -> dict[str, Any]:
    """All parts; null for what could not be read."""
    found = _as_json(asdict(posture))
    assert isinstance(found, dict)
    return found


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_json(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_as_json(item) for item in value]
    return str(value) if isinstance(value, Sharing) else value


def load_posture(raw: Any) -> Posture:
    """The inverse; raises what ``load.load`` turns into BadInput."""
    return Posture(
        sysctls=_texts(raw["sysctls"]),
        namespaces={text(name): Sharing(value) for name, value in raw["namespaces"].items()},
        no_new_privs=optional(raw["no_new_privs"], bool),
        securebits=_or_none(raw["securebits"], lambda bits: tuple(map(text, bits))),
        seccomp=_or_none(
            raw["seccomp"],
            lambda item: Seccomp(text(item["mode"]), optional(item["filters"], int)),
        ),
        mac=_or_none(
            raw["mac"],
            lambda item: Mac(
                text(item["module"]), text(item["label"]), optional(item["mode"], str)
            ),
        ),
        cgroup=_or_none(raw["cgroup"], _cgroup),
        root=_or_none(raw["root"], _root),
        user=_or_none(raw["user"], _user),
        sandbox=optional(raw["sandbox"], str),
    )


def _cgroup(raw: Any) -> Cgroup:
    return Cgroup(
        text(raw["version"]),
        text(raw["path"]),
        optional(raw["writable"], bool),
        _texts(raw["limits"]),
    )


def _root(raw: Any) -> Root:
    return Root(
        text(raw["type"]),
        bool(raw["read_only"]),
        optional(raw["layers"], int),
        optional(raw["host"], bool),
        tuple(
            Exposed(
                text(item["kind"]),
                text(item["target"]),
                bool(item["writable"]),
                text(item["source"]),
            )
            for item in raw["exposed"]
        ),
    )


def _user(raw: Any) -> User:
    return User(
        int(raw["uid"]),
        int(raw["gid"]),
        tuple(map(int, raw["groups"])),
        optional(raw["host_uid"], int),
        optional(raw["rootless"], bool),
    )


def _texts(raw: Any) -> dict[str, str]:
    return {text(name): text(value) for name, value in raw.items()}


def _or_none(raw: Any, read: Callable[[Any], _T]) -> _T | None:
    return None if raw is None else read(raw)
