"""Pages of a report: for people, for reviews and for other programs. ``PAGES`` is all of them.

All of it may be imported. The module of a page is imported when it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from capadvise.config import RENDERED
from capadvise.config.language import Language

if TYPE_CHECKING:
    from capadvise.config.snippet import Snippet


@dataclass(frozen=True, slots=True)
class ReportPage:
    """One way of showing a report."""

    module: str
    for_browser: bool = False
    """For a browser, not for a terminal."""

    def render(self, snippet: Snippet) -> str:
        """The page, ending with a line end."""
        text: str = import_module(self.module).render(snippet)
        return text


PAGES: dict[str, ReportPage] = {
    "markdown": ReportPage("capadvise.report.pages.markdown", for_browser=True),
    "html": ReportPage("capadvise.report.pages.html", for_browser=True),
    "svg": ReportPage("capadvise.report.pages.svg", for_browser=True),
    "sarif": ReportPage("capadvise.report.pages.sarif"),
    "json": ReportPage("capadvise.report.pages.as_json"),
}
FORMATS: dict[str, Language | ReportPage] = {**RENDERED, **PAGES}
"""All that ``emit`` writes."""
ON_TERMINAL = (*RENDERED, *(name for name, page in PAGES.items() if not page.for_browser))
"""Those that a terminal shows."""
