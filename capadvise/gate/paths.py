"""Which files ``check`` looks at: those it is given, what lies in folders, and what these name."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from errno import EACCES
from glob import escape, glob
from pathlib import Path

from capadvise.config import LANGUAGES
from capadvise.config.declared import Declared, Exposure, ExposureAt
from capadvise.config.language import Language
from capadvise.config.oci.file import filters
from capadvise.config.units.names import dropped_in
from capadvise.gate.outcome import Remark, Source

STDIN = "-"
_ENDINGS = tuple({each for language in LANGUAGES.values() for each in language.endings})


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
    if not name.endswith(_ENDINGS):
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


def left_out(
    language: Language, group: Sequence[str], texts: dict[str, str], known: set[str]
) -> Iterator[Remark]:
    """Overrides and drop-ins that lie beside the files, and files that these or ``.env`` name.
    ``known``: the places of all files that were read."""
    seen = set(known)
    for path in group:
        for beside, why in language.unasked(path):
            if (place := os.path.normpath(beside)) not in seen:
                seen.add(place)
                yield Remark(path, 1, f"{beside} was not named: {why}")
        for used in language.used_by(path, texts[path]):
            if os.path.normpath(used) not in known:
                yield Remark(path, 1, f"{used}, which it names, could not be read")
