"""Checks ``catalog/proven/*.yaml``: programs with proven sets."""

from functools import partial
from pathlib import Path
from typing import Any

from capadvise.catalog.known import KnownProgram, Published, Variant
from capadvise.model import strict
from capadvise.model.errors import BadInput
from tests.generate.facts import values


def parse_program(path: Path, text: str) -> KnownProgram:
    """The text of one file; ``path`` is for messages. Raises BadInput with file and line."""
    raw = strict.load(path, text)
    own = {"variants": _variants, "published": _published}
    program = values.record(KnownProgram, path, raw, own=own)
    if program.name != path.stem:
        raise BadInput(f"{strict.place(path, raw, 'name')}: the name must be that of the file")
    if not program.variants:
        raise BadInput(f"{strict.place(path, raw, 'variants')}: 'variants' must be a list")
    return program


def _variants(path: Path, raw: Any, key: str) -> tuple[Variant, ...]:
    scripts = {"command": values.script, "check": values.script}
    return values.items(path, raw, key, partial(values.record, Variant, own=scripts))


def _published(path: Path, raw: Any, key: str) -> tuple[Published, ...]:
    return values.items(path, raw, key, partial(values.record, Published))
