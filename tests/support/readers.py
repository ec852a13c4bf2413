"""What capadvise's own reader finds in a file or in flags of any language."""

from __future__ import annotations

import shlex

from capadvise.formats import FORMATS, flags
from capadvise.formats.declared import Declared
from capadvise.model.errors import BadInput


def read(language: str, text: str) -> tuple[Declared, ...]:
    """As the gate reads it; of docker and podman, which have no files, the flags in the last line.
    Raises BadInput for what cannot be read."""
    if language not in ("docker", "podman"):
        return FORMATS[language].read(text)
    *_, last = ["", *text.splitlines()]
    try:
        return (flags.declared(shlex.split(last, comments=True), language, 1),)
    except ValueError as error:
        raise BadInput(str(error)) from error
