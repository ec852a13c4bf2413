"""Names of Kubernetes' objects. Pure."""

from __future__ import annotations

import re

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def is_object_name(text: str) -> bool:
    """Whether Kubernetes takes it as the name of an object (RFC 1123)."""
    return _NAME.fullmatch(text) is not None
