"""Compose files: their names and keys, those that docker compose joins to one project, and the one
in which a recorded service is configured."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Mapping_
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from capadvise.catalog import default
from capadvise.config.language import UnknownFile
from capadvise.config.yaml.reader import Documents, Entries, is_null
from capadvise.config.yaml.tree import EMPTY, Mapping, Node, Sequence, entries, target
from capadvise.model.errors import BadInput, CapadviseError
from capadvise.model.input_file import MAX_BYTES, content
from capadvise.model.target import Target

if TYPE_CHECKING:
    from capadvise.config.declared import Declared


NAMES = ("compose", "docker-compose")
"""The names of its files begin so."""
FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
"""In each folder from the current one upwards."""
OVERRIDES = tuple(f"{stem}.override.{ending}" for stem in NAMES for ending in ("yml", "yaml"))
"""Beside one of these."""
_SETTING = (
    r"\s*(?:export\s+)?(COMPOSE_FILE|COMPOSE_PATH_SEPARATOR)\s*[=:]\s*"
    r"(?:([\"'])(.*?)\2|(.*))"
)
_MOST = 64
"""Files that are read."""


def file_of(target: Target, environment: Mapping_[str, str] = os.environ) -> str | None:
    """The file in which the set of a service belongs; None if there is none, or several.

    Among files that compose joins, that is the file which grants the service something, or, if none
    does, the first that has it. If several grant something, a change of one is not enough.
    """
    files = list(_files(target, environment)) if target.service else []
    if not files:
        return None
    try:
        declared = _read(target.cwd, files)
    except (CapadviseError, OSError, UnicodeDecodeError):  # ``-`` is its standard input
        return files[0] if len(files) == 1 else None
    having = {name: one for name, one in declared if one.service == target.service}
    granting = [name for name, one in having.items() if one.add or one.drop or one.privileged]
    return None if len(granting) > 1 else next(iter([*granting, *having]), None)


def beside(
    path: Path, service: str, target: Target, environment: Mapping_[str, str] = os.environ
) -> list[tuple[str, Declared]]:
    """The same service in the other files of a file's project, since compose joins them. The
    project is the recorded one, or that of the file's folder."""
    here = path.resolve()
    by_folder = replace(target, cwd=str(here.parent), argv=())
    for of in (target, by_folder):
        files = list(_files(of, environment))
        if here not in {Path(of.cwd, name).resolve() for name in files}:
            continue
        with suppress(CapadviseError, OSError, UnicodeDecodeError):
            said = [(Path(of.cwd, name), one) for name, one in _read(of.cwd, files)]
            return [
                (os.path.relpath(place), one)
                for place, one in said
                if one.service == service and place.resolve() != here
            ]
    return []


def _read(folder: str, files: Iterable[str]) -> list[tuple[str, Declared]]:
    """The services of files, and of those that they include, each with its file."""
    from capadvise.config.compose.file import included, read

    todo = list(files)
    declared: list[tuple[str, Declared]] = []
    for name in todo:  # it grows
        source = content(Path(folder, name), MAX_BYTES).decode()
        declared += [(name, one) for one in read(source)]
        more = (os.path.join(os.path.dirname(name), one) for one in included(source))
        todo += [one for one in dict.fromkeys(more) if one not in todo][: _MOST - len(todo)]
    return declared


def _files(target: Target, environment: Mapping_[str, str]) -> Iterator[str]:
    """The first files that compose reads, relative to the folder of the target or absolute."""
    words = [word for word in target.argv if word.startswith("--file=")]
    if words:
        yield from (word.partition("=")[2] for word in words)
        return
    if given := environment.get("COMPOSE_FILE"):
        yield from given.split(environment.get("COMPOSE_PATH_SEPARATOR") or os.pathsep)
        return
    for folder in (Path(target.cwd), *Path(target.cwd).parents):
        there = [name for name in FILES if (folder / name).is_file()]
        if there:
            overrides = [name for name in OVERRIDES if (folder / name).is_file()]
            yield from (
                os.path.relpath(folder / name, target.cwd) for name in there[:1] + overrides[:1]
            )
            return


# ------------------------------------------------------------------------------ for the gate


def together(path: str) -> list[str]:
    """The files that ``.env`` names, else an override beside the file, which docker compose reads
    by itself."""
    return named_by_env(path) or overrides(path)


def unasked(path: str) -> Iterator[tuple[str, str]]:
    """The override of a file, and the files that ``.env`` makes docker compose read."""
    by_env = named_by_env(path)
    for other in () if by_env else overrides(path):
        yield other, f"reading {path} includes it"
    folder = os.path.dirname(path)
    for name in _named(folder) if by_env or PurePath(path).name.startswith(NAMES) else ():
        yield os.path.normpath(os.path.join(folder, name)), ".env makes compose read it"


def overrides(path: str) -> list[str]:
    """The override beside a file, if there is one; of several docker compose reads the first."""
    place = Path(path)
    if place.stem not in NAMES:
        return []
    return [str(other) for name in OVERRIDES if (other := place.with_name(name)).is_file()][:1]


def named_by_env(path: str) -> list[str]:
    """The project that ``.env`` makes of a compose file and others, in its order."""
    folder = os.path.dirname(path)
    names = [os.path.normpath(os.path.join(folder, name)) for name in _named(folder)]
    return names if os.path.normpath(path) in names else []


def _named(folder: str) -> list[str]:
    """The files that ``.env`` names."""
    try:
        data = content(Path(folder, ".env"), MAX_BYTES, pipes=False)
    except (BadInput, OSError):
        return []
    text = data.decode("utf-8-sig", errors="surrogateescape")
    settings: dict[str, str] = {}
    for line in text.splitlines():
        if match := re.match(_SETTING, line):
            name, quote, quoted, plain = match.groups()
            settings[name] = quoted if quote else re.sub(r"\s+#.*", "", plain).strip()
    separator = settings.get("COMPOSE_PATH_SEPARATOR") or ":"
    return [name for name in settings.get("COMPOSE_FILE", "").split(separator) if name]


_KEYS = ("name", "version", "include", "networks", "volumes", "configs", "secrets")


def claims(file: UnknownFile) -> bool:
    """True if it has services, or the name of a compose file and no Kubernetes object."""
    is_named = file.name.startswith(NAMES)
    if is_named and not file.text.strip():
        return True
    for root in file.roots:
        keys = entries(root)
        is_object = "kind" in keys or "apiVersion" in keys
        if is_named and not is_object and isinstance(target(root), Mapping):
            return True
        if _has_services(keys) or (
            _includes(keys) and all(key in _KEYS or key.startswith("x-") for key in keys)
        ):
            return True
    return False


def _includes(keys: Entries) -> bool:
    """True if it includes compose files; those of GitLab have no ``path``."""
    listed = target(keys.get("include", EMPTY))
    items = listed.items if isinstance(listed, Sequence) else [listed]
    return "include" in keys and all(
        "path" in entries(item) for item in map(target, items) if isinstance(item, Mapping)
    )


def meant(path: str, text: str) -> bool:
    """True if its services are containers: files of other programs have services, too."""
    if PurePath(path).name.startswith(NAMES):
        return True
    services = [entries(root).get("services", EMPTY) for root in Documents(text).roots]
    each = [entries(service) for group in services for service in entries(group).values()]
    return any(not keys.keys().isdisjoint(default().names["compose-service-keys"]) for keys in each)


def _has_services(keys: Mapping_[str, Node]) -> bool:
    node = target(keys.get("services", EMPTY))
    return isinstance(node, Mapping) or ("services" in keys and is_null(node))
