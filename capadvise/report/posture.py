"""The posture as JSON values, and back. The keys are the fields of ``capadvise.model.posture``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from capadvise.model.posture import Posture, Sharing
from capadvise.report.values import value_of


def dump_posture(posture: Posture) -> dict[str, Any]:
    """All parts; null for what could not be read."""
    raw = _as_json(asdict(posture))
    assert isinstance(raw, dict)
    return raw


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_json(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_as_json(item) for item in value]
    return str(value) if isinstance(value, Sharing) else value


def load_posture(raw: Any) -> Posture:
    """The inverse; raises what ``load.load`` turns into BadInput. A field that is not there is of
    a later version, and could not be read."""
    posture = value_of(Posture, raw)
    assert isinstance(posture, Posture)
    return posture
