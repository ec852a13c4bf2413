"""The refusals to record a unit; their texts are data, in the file beside this one."""

import json
from pathlib import Path

from capadvise.model.errors import BadInput, CapadviseError

_TEXTS = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))


def refused(
    reason: str, kind: type[CapadviseError] = BadInput, /, **values: object
) -> CapadviseError:
    """The error for a reason, and what to do instead."""
    error, *hints = (text.format(**values) for text in _TEXTS[reason])
    return kind(error, hint=hints[0] if hints else None)
