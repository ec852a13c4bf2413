"""What is shared of a report, in three files: a picture, a page, and a table for a pull request."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Static

from capadvise.catalog import Catalog
from capadvise.model.errors import CapadviseError
from capadvise.model.escape import printable
from capadvise.report.pages import PAGES
from capadvise.report.save import write
from capadvise.tui import help
from capadvise.tui.choice import Choice
from capadvise.tui.fitting import Fitting
from capadvise.tui.keys import Keys
from capadvise.tui.page import Page
from capadvise.tui.snippets import chosen

KINDS = {".svg": "svg", ".html": "html", ".md": "markdown"}


def exported(choice: Choice, catalog: Catalog) -> dict[str, str]:
    """The three texts, by the ending of their files."""
    snippet = chosen(choice, catalog)
    return {ending: PAGES[name].render(snippet) for ending, name in KINDS.items()}


class Export(Fitting, ModalScreen[str | None]):
    """Returns a sentence about what was written; None where nothing was."""

    HELP = help.EXPORT
    BINDINGS: ClassVar = [
        Binding("ctrl+s", "save", "Export", id="do-export"),
        Binding("escape", "cancel", "Cancel", id="cancel-export"),
    ]

    def __init__(self, choice: Choice, catalog: Catalog) -> None:
        super().__init__()
        self.choice = choice
        self.catalog = catalog

    def compose(self) -> ComposeResult:
        name = f"{chosen(self.choice, self.catalog).name}-capabilities"
        with Vertical(id="export"):
            with Horizontal(id="export-field"):
                yield Label("Name  ")
                yield Input(name, id="export-name", compact=True)
            yield Static(id="export-files", markup=False)
            with Horizontal(id="export-buttons"):
                yield Button("Export", id="export-do", variant="primary", compact=True)
                yield Button("Cancel", id="export-cancel", compact=True)
        yield Keys()

    def on_mount(self) -> None:
        """A title, and what would be written."""
        self.query_one("#export").border_title = "Export lamps, needs and proof"
        self._show()

    def _paths(self) -> dict[str, Path]:
        name = self.query_one("#export-name", Input).value.strip()
        return {ending: Path(f"{name}{ending}").expanduser() for ending in KINDS}

    @on(Input.Changed, "#export-name")
    def _show(self) -> None:
        page = Page()
        for path in self._paths().values():
            verb = "replaces" if path.exists() else "creates"
            page.bullet(f"{verb} {printable(str(path))}")
        self.query_one("#export-files", Static).update(page)

    @on(Input.Submitted, "#export-name")
    @on(Button.Pressed, "#export-do")
    def action_save(self) -> None:
        """Write them."""
        paths = self._paths()
        try:
            for ending, text in exported(self.choice, self.catalog).items():
                write(paths[ending], text, private=False)
        except CapadviseError as error:
            said = Content.styled(printable(str(error)), "$text-error")
            self.query_one("#export-files", Static).update(said)
            return
        self.dismiss(", ".join(str(path) for path in paths.values()))

    @on(Button.Pressed, "#export-cancel")
    def action_cancel(self) -> None:
        """Leave; nothing is written."""
        self.dismiss(None)
