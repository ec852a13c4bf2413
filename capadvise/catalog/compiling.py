"""Reads and checks the YAML files of the catalog, and makes ``compiled.json`` of them.

A run reads that file instead: this module, and the readers of single files, are not imported then.
"""

import errno
import fnmatch
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from capadvise.catalog import values
from capadvise.catalog.askers import ASKERS, Asker, by_function, joined, parse_askers
from capadvise.catalog.baselines import FILES, baselines_of, profiles_of
from capadvise.catalog.capabilities import entry_of, file_name, raw_entry
from capadvise.catalog.compiled import digest
from capadvise.catalog.exposures import exposures_of
from capadvise.catalog.signs import ImportSign, Sign
from capadvise.catalog.sites import parse_rules, rule_of
from capadvise.model import clone_flags, strict
from capadvise.model.caps import NAMES, Cap
from capadvise.model.errors import BadInput

_NUMBERS = ("many-links", "few-states", "many-settings")
_CALLS = ("gives-up-rights", "about-itself")
_SECTIONS = (
    *("functions", "symbols", "numbers", "calls", "asked", "entered", "overlay_prefix"),
    "failed_anyway",
)
_LISTS = ("host", "platforms", "foreign")


def compiled(folder: Path) -> dict[str, Any]:
    """Read and check the sources. The facts stay as they are in the files, with the risk of each
    capability added."""
    path, errors = folder / "preference.yaml", folder / "errnos.yaml"
    places, rows_of = folder / "signs.yaml", folder / ASKERS
    closed, usual = folder / "seccomp.yaml", folder / "baselines"
    exposures, lists = folder / "exposures.yaml", folder / "names.yaml"
    texts, clients = folder / "texts.yaml", folder / "clients.yaml"
    try:
        preference, raw_profiles, raw_names = map(_raw, (path, closed, lists))
        profiles_of(closed, raw_profiles)
        raw_baselines = {name: _raw(usual / f"{name}.yaml") for name in FILES}
        baselines_of(usual, raw_baselines)
        raw_exposures, raw_texts, raw_clients = map(_raw, (exposures, texts, clients))
        exposures_of(exposures, raw_exposures)
        lists_of = {name: _without_lines(_raw(folder / f"{name}.yaml")) for name in _LISTS}
        errnos = parse_errnos(errors, errors.read_text(encoding="utf-8"))
        signs = parse_signs(places, places.read_text(encoding="utf-8"))
        askers = parse_askers(rows_of, rows_of.read_text(encoding="utf-8"))
        fingerprint = digest(folder)
    except OSError as error:
        raise BadInput(f"{error.filename}: {error.strerror}") from error
    strict.keys(path, preference, required=("preference", "removal_order"))
    risks, entries = {}, {}
    for cap in map(Cap, range(len(NAMES))):
        raw = raw_entry(folder / "capabilities", cap)
        risks[cap.name] = str(entry_of(folder / "capabilities" / file_name(cap), raw).risk)
        entries[cap.name] = json.dumps(raw, ensure_ascii=False)
    return {
        "digest": fingerprint,
        "preference": preference["preference"],
        "removal_order": preference["removal_order"],
        "signs": signs,
        "risk": risks,
        "entries": entries,  # each as text: a run needs few of them, or none
        "seccomp": _without_lines(raw_profiles),
        "baselines": _without_lines(raw_baselines),
        "exposures": _without_lines(raw_exposures),
        **lists_of,
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
        "sites": [
            {key: value for key, value in rule.items() if key != strict.LINE}
            for rule in _with_scopes(folder / "sites", askers)
        ],
    }


def _raw(path: Path) -> Any:
    return strict.load(path, path.read_text(encoding="utf-8"))


def _without_lines(raw: Any) -> Any:
    if isinstance(raw, list):
        return list(map(_without_lines, raw))
    if isinstance(raw, Mapping):
        return {key: _without_lines(item) for key, item in raw.items() if key != strict.LINE}
    return raw


def _with_scopes(folder: Path, askers: Iterable[Asker]) -> list[dict[str, Any]]:
    """The rules, each with the user namespace that the kernels' own code checks."""
    named = by_function(askers)
    raw = _raw_rules(folder)
    for item in raw:
        rule = rule_of(folder, item)
        scope = joined(
            asker.scope
            for pattern in rule.at
            for function in _named(pattern.partition("<")[0], named)
            for asker in named[function]
            if rule.caps is None or asker.cap in rule.caps
        )
        if scope and "*" not in rule.at:
            item.setdefault("scope", str(scope))
    return raw


def _named(pattern: str, functions: Mapping[str, object]) -> list[str]:
    if "*" in pattern:
        return fnmatch.filter(functions, pattern)
    return [pattern] if pattern in functions else []


def dump(facts: dict[str, Any]) -> str:
    """The text of the compiled file, one rule a line, so that diffs can be read."""
    head = {key: value for key, value in facts.items() if key != "sites"}
    lines = ",\n".join(json.dumps(rule, default=dict) for rule in facts["sites"])
    return f'{json.dumps(head)[:-1]}, "sites": [\n{lines}\n]}}\n'


def _raw_rules(folder: Path) -> list[dict[str, Any]]:
    """The rules of all files of a folder, in order, as they are written, and checked.

    Raises BadInput with file, line and key.
    """
    rules: list[dict[str, Any]] = []
    try:
        for path in sorted(folder.glob("*.yaml")):
            text = path.read_text(encoding="utf-8")
            parse_rules(path, text)
            rules += strict.load(path, text)
    except OSError as error:
        raise BadInput(f"{error.filename}: {error.strerror}") from error
    for name, times in Counter(rule["id"] for rule in rules).items():
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


def parse_signs(path: Path, text: str) -> dict[str, Any]:
    """Check the text of ``signs.yaml`` and return its facts as JSON values; ``path`` is for
    messages.

    Raises BadInput with file and line.
    """
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
    return {
        "functions": functions,
        "symbols": symbols,
        "numbers": numbers,
        "calls": calls,
        "asked": asked,
        "entered": entered,
        "overlay_prefix": values.text(path, raw, "overlay_prefix"),
        "failed_anyway": list(failed),
    }


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
