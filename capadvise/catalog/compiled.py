"""What every run needs of the catalog, in one JSON file: YAML would take 80 ms of each start.

``catalog/compiled.json`` is made from the YAML files by ``python -m capadvise.cli.manual`` and
bears their digest. Where it does not fit them (somebody is editing), they are read themselves.
"""

from __future__ import annotations

import fnmatch
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from capadvise.catalog.askers import ASKERS, Asker, by_function, joined, parse_askers
from capadvise.model import strict
from capadvise.model.caps import NAMES, Cap
from capadvise.model.errors import BadInput

FILE = "compiled.json"


def digest(folder: Path) -> str:
    """One number for all that the compiled file is made from."""
    whole = 0  # hashlib would take 3 ms to import, and this guards against editors alone
    for path in (
        folder / "preference.yaml",
        folder / "seccomp.yaml",
        folder / "signs.yaml",
        folder / ASKERS,
        folder / "errnos.yaml",
        *_parts(folder, "baselines"),
        *_parts(folder, "sites"),
        *_parts(folder, "capabilities"),
    ):
        whole = zlib.crc32(path.name.encode() + b"\0" + path.read_bytes() + b"\0", whole)
    return f"{whole:08x}"


def _parts(folder: Path, name: str) -> list[Path]:
    return sorted((folder / name).glob("*.yaml"))


def load(folder: Path) -> dict[str, Any]:
    """The compiled facts, or the same from their sources. Raises BadInput for broken sources."""
    with suppress(OSError, ValueError):
        facts: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if facts["digest"] == digest(folder):
            return facts
    return compiled(folder)


def compiled(folder: Path) -> dict[str, Any]:
    """The facts from their sources, as they stand there once they were checked; of capabilities,
    their risk besides."""
    from capadvise.catalog.baselines import FILES, baselines_of
    from capadvise.catalog.capabilities import entry_of, file_name, raw_entry
    from capadvise.catalog.errnos import parse_errnos
    from capadvise.catalog.seccomp import profiles_of
    from capadvise.catalog.signs_file import parse_signs

    path, errors = folder / "preference.yaml", folder / "errnos.yaml"
    places, rows_of = folder / "signs.yaml", folder / ASKERS
    closed, usual = folder / "seccomp.yaml", folder / "baselines"
    try:
        preference = strict.load(path, path.read_text(encoding="utf-8"))
        raw_profiles = strict.load(closed, closed.read_text(encoding="utf-8"))
        profiles_of(closed, raw_profiles)
        paths = {name: usual / f"{name}.yaml" for name in FILES}
        raw_baselines = {
            name: strict.load(path, path.read_text(encoding="utf-8"))
            for name, path in paths.items()
        }
        baselines_of(usual, raw_baselines)
        rows = parse_errnos(errors, errors.read_text(encoding="utf-8"))
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
        "errnos": {
            f"{row.syscall} {row.errno}": [int(cap) for cap in row.candidates] for row in rows
        },
        "sites": [
            {key: value for key, value in rule.items() if key != strict.LINE}
            for rule in with_scopes(folder / "sites", askers)
        ],
    }


def _without_lines(raw: Any) -> Any:
    if isinstance(raw, list):
        return list(map(_without_lines, raw))
    if isinstance(raw, Mapping):
        return {key: _without_lines(item) for key, item in raw.items() if key != strict.LINE}
    return raw


def with_scopes(folder: Path, askers: Iterable[Asker]) -> list[dict[str, Any]]:
    """The rules, each with whose user namespace the kernels' own code asks about."""
    from capadvise.catalog.sites import rule_of

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
    """The text of the compiled file: a rule a line, so that changes can be read."""
    head = {key: value for key, value in facts.items() if key != "sites"}
    lines = ",\n".join(json.dumps(rule, default=dict) for rule in facts["sites"])
    return f'{json.dumps(head)[:-1]}, "sites": [\n{lines}\n]}}\n'


def _raw_rules(folder: Path) -> list[dict[str, Any]]:
    """The rules of all files of a folder as they stand there, in order, checked.

    Raises BadInput with file, line and key.
    """
    from capadvise.catalog.sites import parse_rules

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
