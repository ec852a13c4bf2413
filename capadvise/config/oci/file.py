"""OCI runtimes (runc, crun): ``process`` of a bundle's ``config.json``."""

from __future__ import annotations

import json
import re
from pathlib import PurePath
from typing import Any

from capadvise.config.declared import Declared
from capadvise.config.oci import exposed as bundle_exposed
from capadvise.config.snippet import Snippet
from capadvise.config.yaml.tree import ambiguous
from capadvise.model.errors import BadInput

MAX_LENGTH = 4 << 20
"""A longer text is no bundle's configuration."""
_OBJECTS = ("process", "capabilities", "user", "linux", "hooks", "resources")
_LISTS = ("mounts", "namespaces", "devices")
_KEYS = frozenset(
    (
        *_OBJECTS,
        *_LISTS,
        *("bounding", "effective", "permitted", "inheritable", "ambient", "uid", "gid"),
        *("noNewPrivileges", "seccomp", "apparmorProfile", "selinuxLabel", "maskedPaths"),
        *("readonlyPaths", "source", "destination", "type", "options", "path", "annotations"),
    )
)
_FOLDED = {key.casefold(): key for key in _KEYS}


class _Pairs(list[tuple[str, Any]]):
    """The entries of an object, in their order, before they are checked."""


def load(source: str) -> dict[str, Any]:
    """The object. Raises BadInput, with the line, for what is none, and where it is ambiguous."""
    if len(source) > MAX_LENGTH:
        raise BadInput(f"{len(source)} characters are too many: the limit is {MAX_LENGTH}")
    try:
        raw = json.loads(source, object_pairs_hook=_Pairs, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise BadInput(f"line {error.lineno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"line 1: {error}") from error
    if not isinstance(raw, _Pairs):
        raise BadInput("line 1: a config.json must be an object")
    config: dict[str, Any] = _checked(source, "", raw)
    return config


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _checked(source: str, within: str, value: Any) -> Any:
    """The value with its objects as dicts. Annotations may have any keys."""
    if isinstance(value, list) and not isinstance(value, _Pairs):
        return [_checked(source, within, item) for item in value]
    if within in _OBJECTS and value is not None and not isinstance(value, _Pairs):
        raise BadInput(f"line {_line(source, within)}: {within} must be an object")
    if not isinstance(value, _Pairs):
        return value
    entries: dict[str, Any] = {}
    for key, item in value:
        if key in entries:
            raise ambiguous(_line(source, key), f"the key {key!r:.60} stands twice")
        if within != "annotations" and key not in _KEYS and key.casefold() in _FOLDED:
            raise ambiguous(_line(source, key), f"the key {key!r:.60} differs in case only")
        entries[key] = _checked(source, key, item)
    return entries


def _line(source: str, key: str) -> int:
    """Where a key stands last, as far as it is written plainly."""
    places = [match.start() for match in re.finditer(re.escape(json.dumps(key)), source)]
    return source.count("\n", 0, places[-1]) + 1 if places else 1


def render(snippet: Snippet) -> str:
    """What is to be merged into a ``config.json``. JSON has no comments: the reasons are
    annotations, which runtimes pass by."""
    caps = [cap.name for cap, _ in snippet.caps]
    # At its exec, root gets what is bounding; others get what is ambient, which must be
    # inheritable too.
    others = [] if snippet.root else caps
    process: dict[str, Any] = {
        "capabilities": {
            "bounding": caps,
            "effective": caps,
            "permitted": caps,
            "inheritable": others,
            "ambient": others,
        },
    }
    if snippet.no_new_privileges is not None:  # what `runc spec` writes is true
        process["noNewPrivileges"] = snippet.no_new_privileges
    if all(value is None or value.isdecimal() for value in snippet.ids):
        uid, gid = snippet.ids
        process["user"] = {"uid": int(uid), "gid": int(gid or 0)}
    annotations = {"capadvise.set": snippet.set_name, "capadvise.user": snippet.user}
    annotations |= {f"capadvise.{cap.name}": reason for cap, reason in snippet.caps}
    annotations |= {f"capadvise.note.{n}": note for n, note in enumerate(snippet.notes, 1)}
    return json.dumps({"process": process, "annotations": annotations}, indent=2) + "\n"


def read(source: str, path: str = "") -> tuple[Declared, ...]:
    """The process of a ``config.json``, called ``process``. All that any of its sets holds counts:
    at its exec root gets what is bounding or inheritable, and others get what is ambient."""
    config = load(source)
    process = config.get("process")
    if process is None:
        raise BadInput("line 1: not a bundle's config.json: it has no process")
    sets = process.get("capabilities") or {}
    user = process.get("user") or {}
    ids = [user.get("uid", 0), user.get("gid", 0)]
    if not all(type(number) is int for number in ids):
        raise BadInput("line 1: uid and gid must be numbers")
    held = [name for which in ("bounding", "inheritable") for name in _names(sets, which)]
    return (
        Declared(
            service="process",
            drop=("ALL",),
            add=tuple(dict.fromkeys(held)),
            ambient=_names(sets, "ambient"),
            user=f"{ids[0]}:{ids[1]}",
            groups=bool(user.get("additionalGids")),
            no_new_privileges=process.get("noNewPrivileges") is True,
            exposed=tuple(bundle_exposed.exposed(config)),
        ),
    )


def _names(sets: dict[str, Any], which: str) -> tuple[str, ...]:
    value = sets.get(which) or []
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise BadInput(f"line 1: {which} must be a list of names")
    return tuple(value)


def service_name(path: str) -> str:
    """``web`` of the bundle ``web/config.json``."""
    return PurePath(path).parent.name or "process"
