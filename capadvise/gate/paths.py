"""Which files ``check`` looks at: those it is given, what lies in folders, and what these name."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from errno import EACCES
from glob import escape, glob
from pathlib import Path

from capadvise.formats.bundle_exposed import filters
from capadvise.formats.declared import Declared, Exposure, ExposureAt
from capadvise.formats.unit_file import parse
from capadvise.gate.outcome import Remark, Source
from capadvise.gate.sources import (
    CHARTS,
    QUADLETS,
    drop_in_folders,
    dropped_in,
    read_besides,
    unit_suffix,
)
from capadvise.model.target import UNIT_KINDS

STDIN = "-"
_ENDINGS = (".yaml", ".yml", ".json", ".conf", *QUADLETS, *UNIT_KINDS)
_SETTING = (
    r"\s*(?:export\s+)?(COMPOSE_FILE|COMPOSE_PATH_SEPARATOR)\s*[=:]\s*"
    r"(?:([\"'])(.*?)\2|(.*))"
)


def paths_of(arguments: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """(path, whether it was found in a folder), each once."""
    seen: set[str] = set()
    for argument in arguments:
        inside = _walk(argument) if argument != STDIN and os.path.isdir(argument) else None
        for path in [argument] if inside is None else inside:
            if path not in seen:
                seen.add(path)
                yield path, inside is not None


def _walk(folder: str) -> Iterator[str]:
    """The files of a tree that can be ours, in the order of their names, and folders that cannot be
    read. Links to files count, as they do for whoever reads them; links to folders are followed
    only where drop-ins are in them."""
    unreadable: list[str] = []
    walk = os.walk(folder, onerror=lambda error: unreadable.append(str(error.filename)))
    for root, folders, names in walk:
        folders[:] = sorted(name for name in folders if name not in (".git", "node_modules"))
        paths = [os.path.join(root, name) for name in sorted(names)]
        for link in (os.path.join(root, name) for name in folders):
            if os.path.islink(link) and dropped_in(os.path.join(link, "a.conf")):
                paths += sorted(glob(f"{escape(link)}/*.conf"))
        yield from filter(_can_be_read, paths)
    yield from unreadable


def _can_be_read(path: str) -> bool:
    """Whether a file is called as ours are, and is one, or takes a drop-in's place (``/dev/null``).
    One that must not be read is an error later."""
    name = os.path.basename(path)
    if not (name.endswith(_ENDINGS) or name in CHARTS):
        return False
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return error.errno == EACCES  # else it is a link to nothing
    return stat.S_ISREG(mode) or (dropped_in(path) and os.path.realpath(path) == os.devnull)


def in_chart(path: str) -> bool:
    """Whether helm makes a manifest of a file, with the values of its chart."""
    return "templates" in Path(path).parts and any(
        (folder / "Chart.yaml").exists() for folder in Path(path).parents
    )


def empty_folders(arguments: Sequence[str], paths: Iterable[str]) -> list[str]:
    """The folders that were named and have none of these files below them."""
    judged = [os.path.abspath(path) for path in paths]
    folders = [each for each in arguments if each != STDIN and os.path.isdir(each)]
    return [
        each
        for each in folders
        if not any(path.startswith(os.path.join(os.path.abspath(each), "")) for path in judged)
    ]


def used_by(path: str, text: str) -> tuple[str, ...]:
    """The manifests that a ``.kube`` unit starts, and the ``.volume`` units whose volumes a quadlet
    mounts. Raises BadInput for what is no unit."""
    suffix = unit_suffix(path)
    folder = os.path.dirname(os.path.dirname(path) if dropped_in(path) else path)
    if suffix == ".kube":
        said = parse(text, quadlet=True).all_of("Kube").values("Yaml")
        names = [item.value.strip("\"'") for item in said]
    elif suffix in (".container", ".pod"):
        section = parse(text, quadlet=True).all_of("Container", "Pod")
        names = [item.value.strip('"').partition(":")[0] for item in section.values("Volume")]
        for item in section.values("Mount"):
            names += re.findall(r"(?:source|src)=([^,\"\s]+)", item.value)
        names = [name for name in names if name.endswith(".volume")]
    else:
        return ()
    return tuple(os.path.join(folder, name) for name in names)


def read_with(path: str) -> list[str]:
    """What docker compose reads with a file unasked: what ``.env`` names, else an override."""
    return named_together(path) or (_beside(path) if _is_compose(path) else [])


def _beside(path: str) -> list[str]:
    files = [each for pattern in read_besides(path) for each in sorted(glob(pattern))]
    closed = [folder for folder in drop_in_folders(path) if is_closed(folder)]
    return files[:1] if _is_compose(path) else files + closed


def is_closed(folder: str) -> bool:
    """Whether its files cannot be listed or read."""
    return os.path.isdir(folder) and not os.access(folder, os.R_OK | os.X_OK)


def _is_compose(path: str) -> bool:
    return os.path.basename(path).startswith(("compose", "docker-compose"))


def named_together(path: str) -> list[str]:
    """The project that ``.env`` makes of a compose file and others, in its order."""
    folder = os.path.dirname(path)
    names = [os.path.normpath(os.path.join(folder, name)) for name in _named_by_env(folder)]
    return names if os.path.normpath(path) in names else []


def with_profiles(source: Source, folder: str) -> Source:
    """With what the seccomp filters of its services come to."""
    return replace(source, declared=tuple(_with_profiles(x, folder) for x in source.declared))


def _with_profiles(declared: Declared, folder: str) -> Declared:
    """With what the seccomp filters in files of their own come to: some let everything through."""
    for path, line in declared.profiles:
        try:
            profile = json.loads(Path(folder, path).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            unread = (f"its seccomp profile {path} could not be read", line)
            declared = replace(declared, unjudged=(*declared.unjudged, unread))
            continue
        if not filters(profile):
            open_ = ExposureAt(Exposure.UNFILTERED, f"seccomp={path}, which forbids nothing", line)
            declared = replace(declared, exposed=(*declared.exposed, open_))
    return declared


def left_out(group: Sequence[str], texts: dict[str, str], known: set[str]) -> Iterator[Remark]:
    """Overrides and drop-ins that lie beside the files, and files that these or ``.env`` name.
    ``known``: the places of all files that were read."""
    together = named_together(group[0])
    for path in group:
        for beside in () if together else _beside(path):
            if os.path.normpath(beside) not in known:
                yield Remark(path, 1, f"{beside} was not named: reading {path} includes it")
        for used in used_by(path, texts[path]):
            if os.path.normpath(used) not in known:
                yield Remark(path, 1, f"{used}, which it names, could not be read")
    folder = os.path.dirname(group[0])
    for name in _named_by_env(folder) if together or _is_compose(group[0]) else ():
        place = os.path.normpath(os.path.join(folder, name))
        if place not in known:
            yield Remark(group[0], 1, f"{place} was not named: .env makes compose read it")


def _named_by_env(folder: str) -> list[str]:
    """The files that ``.env`` names."""
    try:
        text = Path(folder, ".env").read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError:
        return []
    settings: dict[str, str] = {}
    for line in text.splitlines():
        if match := re.match(_SETTING, line):
            name, quote, quoted, plain = match.groups()
            settings[name] = quoted if quote else re.sub(r"\s+#.*", "", plain).strip()
    separator = settings.get("COMPOSE_PATH_SEPARATOR") or ":"
    return [name for name in settings.get("COMPOSE_FILE", "").split(separator) if name]
