"""The public schemas, each checked once: that takes longer than to hold a document against one."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from jsonschema.protocols import Validator
from jsonschema.validators import validator_for

import capadvise.report


@cache
def report() -> Validator:
    return _checked("schema.json")


@cache
def watch() -> Validator:
    return _checked("watch_schema.json")


def _checked(name: str) -> Validator:
    raw = json.loads((Path(capadvise.report.__file__).parent / name).read_text())
    kind = validator_for(raw)
    kind.check_schema(raw)
    return kind(raw)
