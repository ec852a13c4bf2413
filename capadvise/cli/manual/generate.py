"""What is made of the catalog, the parser and the schema: file name → text. A test compares."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import capadvise.report
from capadvise.catalog import default
from capadvise.cli.manual.facts import capabilities_page, sites_page
from capadvise.cli.manual.markdown import command_line_page
from capadvise.cli.manual.options import program
from capadvise.cli.manual.proven import known_page
from capadvise.cli.manual.schema import report_page
from capadvise.cli.manual.troff import manual_page

_SCHEMA: Path = Path(capadvise.report.__file__).parent / "schema.json"

PAGES: dict[str, Callable[[], str]] = {
    "capabilities.md": lambda: capabilities_page(default()),
    "sites.md": lambda: sites_page(default()),
    "known.md": lambda: known_page(default()),
    "command-line.md": lambda: command_line_page(program()),
    "report.md": lambda: report_page(json.loads(_SCHEMA.read_text(encoding="utf-8"))),
    "capadvise.1": lambda: manual_page(program()),
}
