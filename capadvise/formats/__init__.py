"""Configuration languages and outputs: one module each. ``FORMATS`` is all of them.

All of it may be imported. This file is light: the module of a format is imported when it is used,
so that ``emit`` pays for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from capadvise.formats.declared import Declared
    from capadvise.formats.snippet import Snippet


@dataclass(frozen=True, slots=True)
class Format:
    """What can be done in one language."""

    module: str
    is_configuration: bool = True
    """Whether it is what a runtime reads, and no more than a set is needed for it."""
    is_page: bool = False
    """For a browser, not for a terminal."""

    def render(self, snippet: Snippet) -> str:
        """The snippet in this language, ending with a line end."""
        text: str = import_module(self.module).render(snippet)
        return text

    def read(self, text: str) -> tuple[Declared, ...]:
        """What a file declares, in a language that has files. Raises BadInput, with the line, for
        what is not such a file."""
        services: tuple[Declared, ...] = import_module(self.module).read(text)
        return services


FORMATS: dict[str, Format] = {
    "compose": Format("capadvise.formats.compose"),
    "kubernetes": Format("capadvise.formats.kubernetes"),
    "docker": Format("capadvise.formats.docker"),
    "podman": Format("capadvise.formats.podman"),
    "quadlet": Format("capadvise.formats.quadlet"),
    "systemd": Format("capadvise.formats.systemd"),
    "oci": Format("capadvise.formats.oci"),
    "markdown": Format("capadvise.formats.markdown", is_configuration=False, is_page=True),
    "html": Format("capadvise.formats.html", is_configuration=False, is_page=True),
    "svg": Format("capadvise.formats.svg", is_configuration=False, is_page=True),
    "sarif": Format("capadvise.formats.sarif", is_configuration=False),
    "json": Format("capadvise.formats.as_json", is_configuration=False),
    "label": Format("capadvise.formats.label", is_configuration=False),
    "setcap": Format("capadvise.formats.setcap", is_configuration=False),
    "setpriv": Format("capadvise.formats.setpriv", is_configuration=False),
}
CONFIGURATIONS = tuple(name for name, known in FORMATS.items() if known.is_configuration)
"""What a runtime reads: these need nothing but a set."""
