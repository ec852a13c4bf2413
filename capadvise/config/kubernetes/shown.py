"""What ``kubectl label --local`` shows: one object after the other."""

from __future__ import annotations

import json

from capadvise.config.declared import Declared
from capadvise.config.kubernetes.file import read as read_manifest


def read(shown: str, name: str) -> tuple[Declared, ...]:
    """The containers of all objects."""
    decoder, rest, objects = json.JSONDecoder(), shown.strip(), []
    while rest:
        value, end = decoder.raw_decode(rest)
        objects.append(json.dumps(value))
        rest = rest[end:].strip()
    return read_manifest("\n---\n".join(objects))
