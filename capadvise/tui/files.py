"""The user's own files: which of those here could hold a set of capabilities, and in which language
they are written. Names are looked at before contents."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from capadvise.config import languages, recognise
from capadvise.config.compose import COMPOSE
from capadvise.config.compose.files import FILES, file_of
from capadvise.config.units.names import unit_suffix
from capadvise.model import input_file
from capadvise.model.errors import BadInput, CapadviseError
from capadvise.model.target import Target

_EDITED = frozenset(ending for each in languages("edit") for ending in each.edited)
"""The endings of files that can be patched."""
_MANY, _BYTES = 200, 1 << 20
"""The most files that are looked at in a folder, and the most bytes of one."""
_FRESH = 2.0
"""Seconds for which the names in a folder are remembered."""


def format_of(path: Path) -> str | None:
    """The language of a file that can be patched or created, or None. The name is enough for a unit
    and a compose file; another file has to declare something."""
    suffix = unit_suffix(str(path))
    if suffix not in _EDITED:
        return None
    text = ""
    with suppress(OSError, BadInput):
        text = input_file.text(path, _BYTES)
    with suppress(CapadviseError):
        language = recognise(str(path), text)
        by_name = language is not None and (language.service or path.name in FILES)
        if language is not None and (by_name or (text and language.read(text))):
            return language.name if suffix in language.edited else None
    return COMPOSE.name if path.name in FILES else None


def might_apply(folder: Path | None = None) -> bool:
    """True if a file here has a name that fits. Contents are not read: this is asked with each
    key."""
    here = str(folder or Path())
    return _names(here, int(time.monotonic() / _FRESH))


@lru_cache(maxsize=4)
def _names(folder: str, _: int) -> bool:
    with suppress(OSError):
        return any(Path(name).suffix in _EDITED for name in os.listdir(folder))
    return False


def nearest(target: Target) -> tuple[Path, str] | None:
    """The file to which a set most likely belongs, and its language: the file that configures the
    recorded service, or one that is here."""
    name = file_of(target)
    if name is not None and (path := Path(os.path.relpath(Path(target.cwd, name)))).is_file():
        return path, COMPOSE.name
    return next(_candidates(Path()), None)


def _candidates(folder: Path) -> Iterator[tuple[Path, str]]:
    for name in FILES:
        if (folder / name).is_file():
            yield folder / name, COMPOSE.name
    with suppress(OSError):
        names = sorted(folder.iterdir())[:_MANY]
        for path in names:
            if path.suffix in _EDITED and path.is_file():
                language = format_of(path)
                if language is not None:
                    yield path, language
