"""The screen that writes files: format, set and file, with a preview. A format can also be a page,
such as a picture or a table for a pull request."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Grid, Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Select, Static

from capadvise.catalog import Catalog
from capadvise.config import LANGUAGES
from capadvise.config.patched import Patched
from capadvise.gate.files import Change
from capadvise.gate.patching import Patching, patching
from capadvise.model import input_file
from capadvise.model.errors import CapadviseError
from capadvise.model.escape import printable
from capadvise.report.lamps import score_of
from capadvise.report.pages import FORMATS
from capadvise.report.save import write
from capadvise.tui.choice import Choice
from capadvise.tui.files import format_of
from capadvise.tui.look import diff_text, status_text
from capadvise.tui.page import Code, Page
from capadvise.tui.snippets import COPIED, chosen, rendered
from capadvise.tui.state import TargetState
from capadvise.tui.widgets import Fitting, KeyedScroll, Keys
from capadvise.workflow.protocols import Confirm

_MAX_BYTES = 4 << 20
"""The most bytes of a configuration file."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A file to be written, and the sentences on it. Making a plan writes nothing."""

    text: str
    """The whole file as it would be."""
    notes: tuple[str, ...] = ()
    """Sentences on the change."""
    change: Change | None = None
    """None if there is no file yet."""
    services: tuple[str, ...] = ()
    """The services that the file declares; one of them is changed."""
    problem: str | None = None
    """Why nothing can be written."""
    patching: Patching | None = None
    """The change of the user's own file, on which the program that reads the file can be asked;
    None if a whole file is written, or nothing changes."""

    def write(self, path: Path) -> None:
        """Write the file. Raises CapadviseError."""
        if self.change is None:
            write(path, self.text, private=False)
        else:
            self.change.write()


def _file_name(format_name: str) -> str:
    language = LANGUAGES.get(format_name)
    return (language and language.file_name) or f"capadvise.{format_name}"


def plan(
    choice: Choice, format_name: str, catalog: Catalog, path: Path, service: str | None
) -> Plan:
    """The plan for this file: a new one, another one in its place, or a change in it."""
    new = ""
    try:
        snippet = chosen(choice, catalog)
        new = FORMATS[format_name].render(snippet)
        before = _read(path)
        if before is None:
            return Plan(new, (f"Would create {path}.",))
        text = input_file.decoded(before, path)
        language = LANGUAGES.get(format_name)
        if language is None or not language.can("edit"):
            change = Change(path, before, Patched(new, ""))
            return Plan(new, (f"Would replace {path}.",), change)
        services = tuple(item.service for item in language.read(text))
        if len(services) == 1 or service not in services:
            service = None  # a single service needs no name, and a unit's name is not in its file
        if service is None and len(services) > 1:
            return Plan(text, services=services, problem="Several services are in it: choose one.")
        dropped = choice.start & choice.toggled
        made = patching(  # another program is a note, which is read before anything is written
            *(path, language, service, snippet, choice.report), dropped=dropped, other_program=True
        )
        unwritten = [
            f"{words} is not written into your file: without it, this set is not enough."
            for words in choice.beside
        ]
        notes = (_what_changes(made.change), *unwritten, *made.notes)
        asked = None if made.change.empty else made
        return Plan(made.change.patched.text, notes, made.change, services, patching=asked)
    except CapadviseError as error:
        return Plan(new, problem=_in_one_line(error))


def _in_one_line(error: CapadviseError) -> str:
    return f"{error} ({error.hint})" if error.hint else str(error)


def _what_changes(change: Change) -> str:
    name = change.patched.service or "The service"
    if change.empty:
        return f"{name} already has this set: nothing to change."
    more = "what extends it" if change.patched.dependents else "nothing else in the file"
    return f"Changes {name}, and {more}."


def _read(path: Path) -> bytes | None:
    """The bytes of a file; None if there is none. Raises BadInput if it cannot be changed."""
    with suppress(OSError):
        if not path.exists() and path.parent.is_dir():
            return None
    return input_file.data(path, _MAX_BYTES, pipes=False)


class Save(Fitting, ModalScreen[str | None]):
    """Returns a sentence on what was written, or None."""

    BINDINGS: ClassVar = [
        Binding("ctrl+s", "save", "Save", key_display="^s", id="save-file"),
        Binding("ctrl+y", "copy", "Copy", id="copy-file"),
        Binding("tab", "app.focus_next", "Next field", id="next-field"),
        Binding("escape", "cancel", "Cancel", id="cancel"),
    ]

    @dataclass
    class Confirmed(Message):
        """The program that reads the file has answered; ``error``: why it refuses the file."""

        plan: Plan
        error: str | None

    def __init__(
        self, state: TargetState, format_name: str, confirm: Confirm, *, path: Path | None = None
    ) -> None:
        """``path``: the file to begin with."""
        super().__init__()
        self._confirm = confirm
        self.format_name = format_name
        self.catalog = state.catalog
        self._state = state
        self._first = str(path) if path else _file_name(format_name)
        assert state.choice is not None
        assert state.conclusion is not None
        self._service = state.choice.report.target.service
        offered = state.choice.offered(state.conclusion.also_passed)
        self.choices = (state.choice, *(one for one in offered if one != state.choice))
        """The sets that can be saved: the chosen one first."""
        self.plan: Plan | None = None
        self._asking: Plan | None = None
        self.services: tuple[str, ...] = ()

    def compose(self) -> ComposeResult:
        with Vertical(id="save"):
            with Grid(id="fields"):
                yield Label("Format")
                names = [(name, name) for name in FORMATS]
                yield Select(
                    names, value=self.format_name, allow_blank=False, compact=True, id="format"
                )
                yield Label("Set")
                sets = [(_title(choice), number) for number, choice in enumerate(self.choices)]
                yield Select(sets, value=0, allow_blank=False, compact=True, id="set")
                yield Label("File")
                yield Input(self._first, id="file", compact=True)
                yield Label("Service", id="service-label")
                yield Select[str]([], compact=True, id="service", prompt="which one?")
            with KeyedScroll(id="preview"):
                yield Static(id="preview-text", markup=False)
            with KeyedScroll(id="said-box"):
                yield Static(id="said", markup=False)
            with Horizontal(id="buttons"):
                yield Button("Save", id="do-save", variant="primary", compact=True)
                yield Button("Copy", id="do-copy", compact=True)
                yield Button("Cancel", id="do-cancel", compact=True)
        yield Keys()

    def on_mount(self) -> None:
        self.query_one("#save").border_title = "Save"
        self._draw()
        self.query_one("#service" if self._asks_for_service else "#file").focus()

    @property
    def choice(self) -> Choice:
        value = self.query_one("#set", Select).value
        return self.choices[value if isinstance(value, int) else 0]

    @property
    def _asks_for_service(self) -> bool:
        made = self.plan
        return made is not None and made.change is None and len(made.services) > 1

    @property
    def path(self) -> Path:
        return Path(self.query_one("#file", Input).value.strip()).expanduser()

    @on(Select.Changed, "#format")
    def _format_changed(self, event: Select.Changed) -> None:
        """The proposed name follows the format, unless it was changed."""
        before, self.format_name = self.format_name, str(event.value)
        field = self.query_one("#file", Input)
        if field.value == _file_name(before):
            field.value = _file_name(self.format_name)
        self._draw()

    @on(Input.Changed, "#file")
    def _file_changed(self) -> None:
        """Set the format to the language of a file that exists."""
        written = format_of(self.path)
        if written is not None and written != self.format_name:
            self.format_name = written
            with self.prevent(Select.Changed):
                self.query_one("#format", Select).value = written
        self._draw()

    @on(Select.Changed, "#set")
    @on(Select.Changed, "#service")
    def _draw(self) -> None:
        services = self.query_one("#service", Select)
        service = services.value if isinstance(services.value, str) else self._service
        self.plan = plan(self.choice, self.format_name, self.catalog, self.path, service)
        self._offer(self.plan.services)
        self._show(self.plan)
        self.query_one("#do-save", Button).disabled = self.plan.problem is not None

    def _show(self, made: Plan) -> None:
        preview = self.query_one("#preview")
        title = "The file" if self._asks_for_service else "The new file"
        preview.border_title = "The change" if made.change is not None else title
        file = self.query_one("#preview-text", Static)
        if made.change is not None:
            file.update(diff_text(made.change.diff()))
        else:
            file.update(Code(made.text))
        page = Page()
        page.say(self.rests_on(self.choice))
        if made.problem is not None:
            page.say(Content.styled(printable(made.problem), "$text-error"))
        for text in made.notes:
            page.say(printable(text))
        self.query_one("#said", Static).update(page)

    def rests_on(self, choice: Choice) -> Content:
        """How far the set can be trusted, before it is written."""
        conclusion = self._state.conclusion_of(choice)
        score = score_of(conclusion)
        if conclusion.has_set:
            return Content.assemble(status_text(score), ".")
        until = "what it needed until then" if conclusion.caps else "no need"
        return Content.assemble(status_text(score), f". The set holds {until}: it is no answer.")

    def _offer(self, services: tuple[str, ...]) -> None:
        """Offer the services of the file, if there are several."""
        field = self.query_one("#service", Select)
        field.display = self.query_one("#service-label").display = len(services) > 1
        if services != self.services:
            self.services = services
            with self.prevent(Select.Changed):
                field.set_options([(Text(printable(name)), name) for name in services])
                if self._service in services:
                    field.value = self._service

    @on(Input.Submitted, "#file")
    @on(Button.Pressed, "#do-save")
    def action_save(self) -> None:
        made = self.plan
        if made is None or made.problem is not None or self._asking is made:
            return
        patching = made.patching
        if patching is None:
            self._write(made)
            return

        def ask() -> None:
            try:
                self._confirm(patching)
            except CapadviseError as error:
                self.post_message(self.Confirmed(made, _in_one_line(error)))
            else:
                self.post_message(self.Confirmed(made, None))

        self._asking = made
        self.query_one("#said", Static).update("Asking the program that reads this file …")
        self.run_worker(ask, thread=True, exclusive=True)

    def on_save_confirmed(self, event: Confirmed) -> None:
        """Write the file, unless the user has changed the plan since."""
        if self._asking is event.plan:
            self._asking = None
        if self.plan is not event.plan:
            return
        if event.error is None:
            self._write(event.plan)
        else:
            self._complain(event.error)

    def _write(self, made: Plan) -> None:
        try:
            made.write(self.path)
        except CapadviseError as error:
            self._complain(str(error))
        else:
            self.dismiss(f"{_title(self.choice)} written to {self.path}")

    def _complain(self, error: str) -> None:
        self.query_one("#said", Static).update(Content.styled(printable(error), "$text-error"))

    @on(Button.Pressed, "#do-copy")
    def action_copy(self) -> None:
        self.app.copy_to_clipboard(rendered(self.choice, self.format_name, self.catalog))
        self.query_one("#said", Static).update(f"The snippet is {COPIED}.")

    @on(Button.Pressed, "#do-cancel")
    def action_cancel(self) -> None:
        self.dismiss(None)


def _title(choice: Choice) -> str:
    return f"{choice.name} ({len(choice.caps)})"
