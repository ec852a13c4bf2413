"""Save: nothing is written before it is asked for, and what would be written is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Button, Input, Select

from capadvise.tui.app import CapadviseApp
from capadvise.tui.main import Main
from capadvise.tui.protocols import Over
from tests.support.screens import (
    CATALOG,
    CHOWN,
    NGINX,
    app_on,
    drive,
    press,
    proven,
    report,
    screen_text,
    settle,
    shows,
)

Session = Pilot[Any]
COMPOSE = """\
# our shop
services:
  web:
    image: nginx   # pinned elsewhere
    cap_add: [SYS_ADMIN]
  "[bold]db":
    image: postgres
"""


async def name_file(pilot: Session, path: Path) -> None:
    pilot.app.screen.query_one("#file", Input).value = str(path)
    await settle(pilot)


def test_a_new_file_is_written_when_save_is_pressed_and_not_before(tmp_path: Path) -> None:
    app, path = app_on(NGINX), tmp_path / "caps.yaml"

    async def script(pilot: Session) -> None:
        await press(pilot, "s")
        await name_file(pilot, path)
        assert shows(app, "#said").replace("\n", "") == f"Would create {path}."
        assert list(tmp_path.iterdir()) == []
        shown = shows(app, "#preview-text")
        await press(pilot, "enter")
        written = path.read_text().splitlines()
        for line, drawn in zip(written, shown.splitlines(), strict=True):
            assert line.startswith(drawn.rstrip("…"))
        assert list(tmp_path.iterdir()) == [path]
        assert [note.message for note in app._notifications] == [
            f"the recommended set (3) written to {path}."
        ]

    drive(app, script)


def test_what_is_saved_of_one_service_leads_to_the_next_until_all_are(tmp_path: Path) -> None:
    overs = [Over(report(CHOWN, name=name), tmp_path / f"{name}.json") for name in ("web", "db")]
    app = CapadviseApp(lambda: Main(CATALOG, overs=overs))

    async def script(pilot: Session) -> None:
        for name, more in (("web", " n: the next target."), ("db", "")):
            path = tmp_path / f"{name}.yaml"
            await press(pilot, "s")
            await name_file(pilot, path)
            await press(pilot, "enter")
            (note,) = app._notifications
            assert note.message == f"the recommended set (1) written to {path}.{more}"
            await press(pilot, "n")

    drive(app, script)


def test_a_service_of_the_users_own_file_is_patched_with_the_diff_shown_first(
    tmp_path: Path,
) -> None:
    app, path = app_on(NGINX), tmp_path / "compose.yaml"
    path.write_text(COMPOSE)
    path.chmod(0o640)

    async def script(pilot: Session) -> None:
        await press(pilot, "s")
        await name_file(pilot, path)
        services = app.screen.query_one("#service", Select)
        assert services.display
        assert shows(app, "#said") == "Several services are in it: choose one."
        assert app.screen.query_one("#do-save", Button).disabled
        services.value = "web"
        await settle(pilot)
        diff = shows(app, "#preview-text")
        assert "-    cap_add: [SYS_ADMIN]" in diff.splitlines()
        assert path.read_text() == COMPOSE
        await press(pilot, "ctrl+s")
        text = path.read_text()
        assert text.startswith("# our shop\nservices:\n  web:\n    image: nginx   # pinned else")
        assert text.endswith('  "[bold]db":\n    image: postgres\n')
        assert "SYS_ADMIN" not in text
        assert path.stat().st_mode & 0o777 == 0o640

    drive(app, script)


def test_cancel_writes_nothing(tmp_path: Path) -> None:
    app = app_on(NGINX)

    async def script(pilot: Session) -> None:
        await press(pilot, "s")
        await name_file(pilot, tmp_path / "x")
        await press(pilot, "escape")
        assert len(app.screen_stack) == 1
        assert list(tmp_path.iterdir()) == []

    drive(app, script)


def test_what_cannot_be_written_to_is_said_and_the_button_is_off(tmp_path: Path) -> None:
    app = app_on(NGINX)
    (tmp_path / "not.yaml").write_text("a: [")

    async def script(pilot: Session) -> None:
        await press(pilot, "s")
        for path, said in (
            (tmp_path, "is not a file"),
            (tmp_path / "missing" / "x", "is not a folder"),
            (tmp_path / "not.yaml", "line 2"),
        ):
            await name_file(pilot, path)
            assert said in shows(app, "#said")
            assert app.screen.query_one("#do-save", Button).disabled
            await press(pilot, "enter")
            assert len(app.screen_stack) == 2

    drive(app, script)


def test_the_proposed_name_and_the_text_follow_the_format_and_the_set() -> None:
    app = app_on(proven())

    async def script(pilot: Session) -> None:
        await press(pilot, "s")
        app.screen.query_one("#format", Select).value = "docker"
        app.screen.query_one("#set", Select).value = 1
        await settle(pilot)
        assert app.screen.query_one("#file", Input).value == "capadvise.docker"
        assert "--cap-add=NET_BIND_SERVICE" in shows(app, "#preview-text")
        assert "SETUID" not in shows(app, "#preview-text")

    drive(app, script)


def test_copy_gives_the_snippet_to_the_terminal() -> None:
    app = app_on(NGINX)

    async def script(pilot: Session) -> None:
        await press(pilot, "c")
        assert "- NET_BIND_SERVICE" in app.clipboard
        assert "The compose snippet is copied" in screen_text(app)
        await press(pilot, "s")
        assert "is copied" not in screen_text(app)  # it would cover the buttons
        await press(pilot, "ctrl+y")
        assert "is copied" in shows(app, "#said")

    drive(app, script)
