"""Makes ``compiled.json`` of the YAML files of the catalog."""

import errno
import fnmatch
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from capadvise.catalog.askers import ASKERS, Asker, joined
from capadvise.catalog.signs import ImportSign, Sign, Signs
from capadvise.catalog.sites import SiteRule
from capadvise.model import clone_flags, strict
from capadvise.model.caps import NAMES, Cap
from capadvise.model.errors import BadInput
from tests.generate.facts import values
from tests.generate.facts.askers import by_function, parse_askers
from tests.generate.facts.baselines import FILES, baselines_of, exposures_of, profiles_of
from tests.generate.facts.capabilities import entry_of, file_name, raw_entry
from tests.generate.facts.sites import parse_rules

_NUMBERS = ("many-links", "few-states", "many-settings")
_CALLS = ("gives-up-rights", "about-itself")
_SECTIONS = (
    *("functions", "symbols", "numbers", "calls", "asked", "entered", "overlay_prefix"),
    "failed_anyway",
)
_LISTS = ("host", "platforms", "foreign")


def compiled(folder: Path) -> dict[str, Any]:
    """Read and check the sources. The package makes its values of the result without a check."""
    path, errors = folder / "preference.yaml", folder / "errnos.yaml"
    places, rows_of = folder / "signs.yaml", folder / ASKERS
    closed, usual = folder / "seccomp.yaml", folder / "baselines"
    exposures, lists = folder / "exposures.yaml", folder / "names.yaml"
    texts, clients = folder / "texts.yaml", folder / "clients.yaml"
    try:
        preference, raw_names = map(_raw, (path, lists))
        raw_baselines = {name: _raw(usual / f"{name}.yaml") for name in FILES}
        raw_texts, raw_clients = map(_raw, (texts, clients))
        errnos = parse_errnos(errors, errors.read_text(encoding="utf-8"))
        signs = parse_signs(places, places.read_text(encoding="utf-8"))
        askers = parse_askers(rows_of, rows_of.read_text(encoding="utf-8"))
        facts = {
            "signs": plain(signs),
            "seccomp": plain(profiles_of(closed, _raw(closed))),
            "baselines": plain(baselines_of(usual, raw_baselines)),
            "exposures": plain(exposures_of(exposures, _raw(exposures))),
            **{name: plain(_raw(folder / f"{name}.yaml")) for name in _LISTS},
        }
    except OSError as error:
        raise BadInput(f"{error.filename}: {error.strerror}") from error
    strict.keys(path, preference, required=("preference", "removal_order"))
    entries = [
        entry_of(folder / "capabilities" / file_name(cap), raw_entry(folder / "capabilities", cap))
        for cap in map(Cap, range(len(NAMES)))
    ]
    return {
        "preference": plain(values.caps(path, preference, "preference")),
        "removal_order": plain(values.caps(path, preference, "removal_order")),
        "risk": {entry.cap.name: str(entry.risk) for entry in entries},
        # each as text: a run needs few of them, or none
        "entries": {
            entry.cap.name: json.dumps(plain(entry), ensure_ascii=False) for entry in entries
        },
        **facts,
        "texts": {key: _texts(texts, raw_texts[key]) for key in raw_texts if key != strict.LINE},
        "clients": {
            key: {
                "flags": values.texts(clients, each, "flags"),
                "letters": _texts(clients, each["letters"]),
            }
            for key, each in raw_clients.items()
            if key != strict.LINE
        },
        "names": {
            key: values.texts(lists, raw_names, key) for key in raw_names if key != strict.LINE
        },
        "errnos": errnos,
        "sites": [plain(rule) for rule in _with_scopes(rules_of(folder / "sites"), askers)],
    }


def plain(value: Any) -> Any:
    """A value as JSON has it: ``capadvise.model.from_json.value_of`` makes the same one of it."""
    if isinstance(value, Cap):
        return value.name
    if is_dataclass(value):
        items = ((field, getattr(value, field.name)) for field in fields(value))
        return {field.name: plain(item) for field, item in items if item != field.default}
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items() if key != strict.LINE}
    if isinstance(value, frozenset):
        return list(map(plain, sorted(value)))
    return list(map(plain, value)) if isinstance(value, list | tuple) else value


def _raw(path: Path) -> Any:
    return strict.load(path, path.read_text(encoding="utf-8"))


def _with_scopes(rules: Iterable[SiteRule], askers: Iterable[Asker]) -> list[SiteRule]:
    """The rules, each with the user namespace that the kernels' own code checks."""
    named = by_function(askers)
    scoped = []
    for rule in rules:
        scope = joined(
            asker.scope
            for pattern in rule.at
            for function in _named(pattern.partition("<")[0], named)
            for asker in named[function]
            if rule.caps is None or asker.cap in rule.caps
        )
        own = rule.scope or (None if "*" in rule.at else scope)
        scoped.append(replace(rule, scope=own))
    return scoped


def _named(pattern: str, functions: Mapping[str, object]) -> list[str]:
    if "*" in pattern:
        return fnmatch.filter(functions, pattern)
    return [pattern] if pattern in functions else []


def dump(facts: dict[str, Any]) -> str:
    """The text of the compiled file, one rule a line, so that diffs can be read."""
    head = {key: value for key, value in facts.items() if key != "sites"}
    lines = ",\n".join(json.dumps(rule) for rule in facts["sites"])
    return f'{json.dumps(head)[:-1]}, "sites": [\n{lines}\n]}}\n'


def rules_of(folder: Path) -> list[SiteRule]:
    """The rules of all files of a folder, in order. Raises BadInput with file, line and key."""
    rules = [
        rule
        for path in sorted(folder.glob("*.yaml"))
        for rule in parse_rules(path, path.read_text(encoding="utf-8"))
    ]
    for name, times in Counter(rule.id for rule in rules).items():
        if times > 1:
            raise BadInput(f"{folder}: rule {name!r} stands in two files")
    return rules


def parse_errnos(path: Path, text: str) -> dict[str, list[int]]:
    """``bind EACCES`` → the numbers of the capabilities that may be missing then, in the order to
    try. ``path`` is for messages. Raises BadInput with file and line."""
    raw = strict.load(path, text)
    strict.keys(path, raw, required=("errnos",))
    if not isinstance(raw["errnos"], list):
        raise BadInput(f"{path}: 'errnos' must be a list")
    rows: dict[str, list[int]] = {}
    for item in raw["errnos"]:
        strict.keys(path, item, required=("syscall", "errno", "candidates", "source"))
        call, code, _ = (values.text(path, item, key) for key in ("syscall", "errno", "source"))
        at = strict.place(path, item)
        if not hasattr(errno, code):
            raise BadInput(f"{at}: {code!r} is not the name of an error")
        if f"{call} {code}" in rows:
            raise BadInput(f"{at}: {call} with {code} appears twice")
        rows[f"{call} {code}"] = list(map(int, values.caps(path, item, "candidates")))
        if not rows[f"{call} {code}"]:
            raise BadInput(f"{at}: 'candidates' is empty: leave the row out")
    return rows


def parse_signs(path: Path, text: str) -> Signs:
    """Check the text of ``signs.yaml``; ``path`` is for messages. Raises BadInput with file and
    line."""
    raw = strict.load(path, text)
    strict.keys(path, raw, required=_SECTIONS)
    functions = _roles(path, raw["functions"], tuple(Sign))
    symbols = _roles(path, raw["symbols"], tuple(ImportSign))
    calls = _roles(path, raw["calls"], _CALLS)
    strict.keys(path, raw["numbers"], required=_NUMBERS)
    numbers = {key: _number(path, raw["numbers"][key]) for key in _NUMBERS}
    asked, entered = _texts(path, raw["asked"]), _texts(path, raw["entered"])
    if unknown := [flag for flag in entered.values() if flag not in clone_flags.NAMES.values()]:
        raise BadInput(f"{strict.place(path, raw, 'entered')}: {unknown[0]!r} makes no namespace")
    failed = values.texts(path, raw, "failed_anyway")
    if unknown := [name for name in failed if not hasattr(errno, name)]:
        at = strict.place(path, raw, "failed_anyway")
        raise BadInput(f"{at}: {unknown[0]!r} is not the name of an error")
    return Signs(
        functions={Sign(key): frozenset(names) for key, names in functions.items()},
        symbols={ImportSign(key): frozenset(names) for key, names in symbols.items()},
        many_links=numbers["many-links"],
        few_states=numbers["few-states"],
        many_settings=numbers["many-settings"],
        gives_up_rights=frozenset(calls["gives-up-rights"]),
        about_itself=frozenset(calls["about-itself"]),
        asked=asked,
        entered={name: getattr(clone_flags, flag) for name, flag in entered.items()},
        overlay_prefix=values.text(path, raw, "overlay_prefix"),
        failed_anyway=frozenset(-int(getattr(errno, name)) for name in failed),
    )


def _texts(path: Path, raw: Any) -> dict[str, str]:
    return {key: values.text(path, raw, key) for key in raw if key != strict.LINE}


def _roles(path: Path, raw: Any, roles: Sequence[str]) -> dict[str, list[str]]:
    strict.keys(path, raw, required=roles)
    for role in roles:
        strict.keys(path, raw[role], required=("names", "tells", "source"))
        values.text(path, raw[role], "tells")
        values.text(path, raw[role], "source")
    return {str(role): list(values.texts(path, raw[role], "names")) for role in roles}


def _number(path: Path, raw: Any) -> int:
    strict.keys(path, raw, required=("value", "tells", "source"))
    if not isinstance(raw["value"], int):
        raise BadInput(f"{strict.place(path, raw, 'value')}: 'value' must be a number")
    return int(raw["value"])
