"""What capadvise's own reader finds in a file or in flags of any language."""

from __future__ import annotations

import shlex

from capadvise.config import LANGUAGES, RENDERED
from capadvise.config.declared import Declared
from capadvise.config.run import flags
from capadvise.model.errors import BadInput

_COMMANDS = ("docker", "podman")
DECLARED = (*(name for name, each in RENDERED.items() if each.can("read")), *_COMMANDS)
"""Languages whose renderings say what a service gets."""


def read(language: str, text: str) -> tuple[Declared, ...]:
    """As the gate reads it; of docker and podman, which have no files, the flags in the last line.
    Raises BadInput for what cannot be read."""
    if language not in _COMMANDS:
        return LANGUAGES[language].read(text, "main.tf" if language == "foreign" else "")
    *_, last = ["", *text.splitlines()]
    try:
        return (flags.declared(shlex.split(last, comments=True), language, 1),)
    except ValueError as error:
        raise BadInput(str(error)) from error
