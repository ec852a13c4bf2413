"""A bundle's ``config.json`` as runc (Go) and crun (C) decode it, or refused.

Go takes keys in any case, merges a key that stands twice, and passes over what follows the object;
crun does none of this. What the two read differently is ambiguous.
"""

from __future__ import annotations

import json
import re
from typing import Any

from capadvise.formats.yaml_tree import ambiguous
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
