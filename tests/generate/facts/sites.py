"""Checks site rules: ``catalog/sites/*.yaml``."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from capadvise.catalog.askers import NamespaceScope
from capadvise.catalog.sites import Meaning, SiteRule, When
from capadvise.model import strict
from capadvise.model.caps import Cap
from capadvise.model.errors import BadInput

KERNEL_ERRORS = frozenset({"ENOIOCTLCMD"})
"""Errors inside the kernel; the program gets ENOTTY."""
_T = TypeVar("_T")
_REQUIRED = ("id", "at", "meaning", "text", "source")
_OPTIONAL = (
    "caps",
    "below",
    "not_below",
    "alternatives",
    "when",
    "implies",
    "lost",
    "harmless",
    "refused",
    "doubt",
    "scope",
    "limit",
    "answers",
    "co_syscalls",
    "since",
    "until",
)
KEYS = (*_REQUIRED, *_OPTIONAL)
"""The keys of a rule; ``capadvise help contributing`` explains them."""


def parse_rules(path: Path, text: str) -> list[SiteRule]:
    """The rules in a text; ``path`` is for messages."""
    raw = strict.load(path, text)
    if not isinstance(raw, list):
        raise BadInput(f"{path}: expected a list of rules")
    rules: list[SiteRule] = []
    seen: set[str] = set()
    for item in raw:
        strict.keys(path, item, required=_REQUIRED, optional=_OPTIONAL)
        rule = rule_of(path, item)
        if rule.id in seen:
            raise BadInput(f"{strict.place(path, item, 'id')}: rule {rule.id!r} appears twice")
        seen.add(rule.id)
        rules.append(rule)
    return rules


def rule_of(path: Path, raw: Any) -> SiteRule:
    """One rule from its keys and values; ``path`` is for messages."""
    meaning = _read(path, raw, "meaning", Meaning)
    caps, scope = None, None
    if "caps" in raw:
        caps = frozenset(_read(path, raw, "caps", _caps))
    if "scope" in raw:
        scope = _read(path, raw, "scope", NamespaceScope)
    alternatives = _read(path, raw, "alternatives", _caps)
    for key in ("at", "below", "not_below", "co_syscalls"):
        value = raw.get(key, [])
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            at = strict.place(path, raw, key)
            raise BadInput(f"{at}: {key!r} must be a list of function names")
    if meaning is Meaning.EITHER_OR and not alternatives:
        at = strict.place(path, raw, "meaning")
        raise BadInput(f"{at}: an either-or rule names the others under 'alternatives'")
    if meaning in (Meaning.OPTIONAL, Meaning.SILENT, Meaning.LOOKING) and not raw.get("lost"):
        at = strict.place(path, raw, "meaning")
        raise BadInput(f"{at}: 'lost' must say what is lost without the capability")
    return SiteRule(
        id=str(raw["id"]),
        at=tuple(raw["at"]),
        meaning=meaning,
        text=" ".join(str(raw["text"]).split()),
        caps=caps,
        below=tuple(raw.get("below", ())),
        not_below=tuple(raw.get("not_below", ())),
        alternatives=alternatives,
        when=_when(path, raw["when"]) if "when" in raw else None,
        implies=frozenset(_read(path, raw, "implies", _caps)),
        lost=raw.get("lost"),
        harmless=bool(raw.get("harmless", meaning is Meaning.ADVISORY)),
        refused=_read(path, raw, "refused", _errno) if "refused" in raw else None,
        doubt=raw.get("doubt"),
        scope=scope,
        limit=raw.get("limit"),
        answers=_read(path, raw, "answers", _answers),
        co_syscalls=frozenset(raw.get("co_syscalls", ())),
        since=raw.get("since"),
        until=raw.get("until"),
        source=str(raw["source"]),
    )


def _read(path: Path, raw: Any, key: str, make: Callable[[Any], _T]) -> _T:
    """The value of a key; a list that is not there is empty."""
    try:
        return make(raw.get(key, ()))
    except (ValueError, TypeError, AttributeError) as error:
        raise BadInput(f"{strict.place(path, raw, key)}: {error}") from error


def _caps(names: Iterable[str]) -> tuple[Cap, ...]:
    return tuple(map(Cap.parse, names))


def _answers(names: Iterable[str]) -> frozenset[int]:
    return frozenset(-int(getattr(errno, name)) for name in names)


def _errno(name: str) -> str:
    if not (hasattr(errno, name) or name in KERNEL_ERRORS):
        raise ValueError(f"{name!r} is not the name of an error")
    return name


def _when(path: Path, raw: Any) -> When:
    strict.keys(path, raw, required=("arg",), optional=("mask", "in"))
    mask, values = raw.get("mask"), raw.get("in")
    if isinstance(mask, int) == isinstance(values, list):
        raise BadInput(f"{strict.place(path, raw)}: 'when' has either a mask or a list 'in'")
    return When(raw["arg"], mask, None if values is None else frozenset(values))
