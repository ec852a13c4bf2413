"""Save: nothing is written before it is asked for, and what would be written is shown."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input, Select

from capadvise.catalog import default
from capadvise.gate.patching import Patching
from capadvise.model.errors import CannotPatch
from capadvise.tui.app import CapadviseApp
from capadvise.tui.choice import Choice
from capadvise.tui.main import Main
from capadvise.tui.save import plan
from capadvise.workflow.protocols import Over
from tests.support.screens import (
    BIND,
    CATALOG,
    CHOWN,
    NGINX,
    app_on,
    drive,
    page,
    press,
    proven,
    report,
    screen_text,
    settle,
    shows,
)

Session = Pilot[Any]
QUIET = report(BIND)
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


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("web.service", "[Service]\nExecStart=/bin/true\n", "\nCapabilityBoundingSet=CAP_CHOWN"),
        ("web.service.d/a.conf", "[Service]\nNice=1\n", "\nCapabilityBoundingSet=CAP_CHOWN"),
        ("web.container", "[Container]\nImage=web\n", "\nAddCapability=CAP_CHOWN"),
    ],
)
def test_a_unit_has_the_name_of_its_file(
    name: str, before: str, after: str, tmp_path: Path
) -> None:
    """Its language, too, is known by it."""
    app, path = app_on(NGINX), tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(before)

    async def script(pilot: Session) -> None:
        await press(pilot, "s")
        await name_file(pilot, path)
        await press(pilot, "enter")
        await settle(pilot)

    drive(app, script)
    assert path.read_text().startswith(before)
    assert after in path.read_text()


def test_a_new_file_is_written_when_save_is_pressed_and_not_before(tmp_path: Path) -> None:
    app, path = app_on(NGINX), tmp_path / "caps.yaml"

    async def script(pilot: Session) -> None:
        await press(pilot, "s")
        await name_file(pilot, path)
        assert (
            shows(app, "#said").replace("\n", "")
            == f"? recorded once, not proven.Would create {path}."
        )
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
        assert shows(app, "#said").endswith("Several services are in it: choose one.")
        assert str(app.screen.query_one("#preview").border_title) == "The file"
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


def test_nothing_is_written_that_the_program_that_reads_the_file_would_take_otherwise(
    tmp_path: Path,
) -> None:
    asked: list[tuple[str, str, bool]] = []

    def confirm(made: Patching) -> None:
        caps = {cap.short for cap, _ in made.snippet.caps}
        adds = caps <= set(re.findall(r"\w+", made.change.diff()))
        asked.append((made.language.name, made.recorded[0], adds))
        if len(asked) == 1:
            raise CannotPatch("it would get [b]more[/b]", hint="list it once")

    app = CapadviseApp(lambda: Main(CATALOG, overs=[Over(QUIET, None)], confirm=confirm))
    path = tmp_path / "compose.yaml"
    path.write_text("services:\n  web:\n    image: nginx\n")
    before = path.read_text()

    async def script(pilot: Session) -> None:
        await press(pilot, "s")
        await name_file(pilot, tmp_path / "new.yaml")
        await name_file(pilot, path)
        await press(pilot, "ctrl+s")
        assert shows(app, "#said") == "it would get [b]more[/b] (list it once)"
        assert path.read_text() == before
        await press(pilot, "ctrl+s")
        assert path.read_text() != before
        assert asked == [("compose", QUIET.target.argv[0], True)] * 2

    drive(app, script)


def test_a_plan_that_is_changed_while_it_is_checked_is_not_written(tmp_path: Path) -> None:
    go_on = Event()

    def confirm(made: Patching) -> None:
        assert go_on.wait(60)

    app = CapadviseApp(lambda: Main(CATALOG, overs=[Over(QUIET, None)], confirm=confirm))
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    for path in (first, second):
        path.write_text("services:\n  web:\n    image: nginx\n")

    async def script(pilot: Session) -> None:
        await press(pilot, "s")
        await name_file(pilot, first)
        await pilot.press("ctrl+s", "ctrl+s")
        assert shows(app, "#said") == "Asking the program that reads this file …"
        app.screen.query_one("#file", Input).value = str(second)
        await pilot.pause()
        go_on.set()
        await settle(pilot)
        assert first.read_text() == second.read_text()
        await press(pilot, "ctrl+s")
        assert first.read_text() != second.read_text()

    drive(app, script)


def test_what_another_file_of_the_project_gives_is_said_and_no_option_is_in_both(
    tmp_path: Path,
) -> None:
    app = app_on(QUIET)
    base, override = tmp_path / "compose.yaml", tmp_path / "compose.override.yaml"
    base.write_text("services:\n  web:\n    image: nginx\n")
    override.write_text("services:\n  web:\n    cap_add: [NET_RAW]\n")

    async def script(pilot: Session) -> None:
        for path in (base, override):
            await press(pilot, "s")
            await name_file(pilot, path)
            said = " ".join(shows(app, "#said").split())
            assert ("compose.override.yaml gives web NET_RAW, and" in said) is (path == base)
            await press(pilot, "ctrl+s")
        texts = base.read_text() + override.read_text()
        assert texts.count("NET_BIND_SERVICE") == 2
        assert texts.count("no-new-privileges") == 1  # docker compose refuses two

    drive(app, script)


def test_apply_asks_for_the_service_first_where_there_are_several(tmp_path: Path) -> None:
    app = app_on(NGINX)
    (tmp_path / "compose.yaml").write_text(COMPOSE)

    async def script(pilot: Session) -> None:
        app.theme = "ansi-dark"
        await press(pilot, "a")
        save = app.screen.query_one("#do-save", Button)
        assert save.disabled
        assert not save.styles.border.top[0]  # that of this theme hides the word
        await press(pilot, "enter", "down", "enter")
        assert app.screen.query_one("#service", Select).value == "web"
        assert not save.disabled

    drive(app, script)


def test_apply_names_the_file_that_gives_the_service_its_capabilities(tmp_path: Path) -> None:
    target = replace(QUIET.target, service="web", cwd=str(tmp_path))
    app = app_on(replace(QUIET, target=target))
    (tmp_path / "compose.yaml").write_text("services:\n  web:\n    image: nginx\n")
    override = tmp_path / "compose.override.yaml"
    override.write_text("services:\n  web:\n    cap_add: [NET_RAW]\n")

    async def script(pilot: Session) -> None:
        await press(pilot, "a")
        assert app.screen.query_one("#file", Input).value == override.name
        assert "-    cap_add: [NET_RAW]" in shows(app, "#preview-text").splitlines()

    drive(app, script)


def test_a_report_that_saw_no_start_takes_nothing_away_but_what_is_dropped_by_hand(
    tmp_path: Path,
) -> None:
    attached = replace(QUIET, recordings=(replace(QUIET.recording, attached=True),))
    app, path = app_on(attached), tmp_path / "compose.yaml"
    path.write_text(
        "services:\n  web:\n    image: x\n    cap_drop: [ALL]\n"
        "    cap_add: [CHOWN, NET_BIND_SERVICE]\n"
    )

    async def script(pilot: Session) -> None:
        page(app).review.select(BIND.cap)
        await press(pilot, "space", "s")
        await name_file(pilot, path)
        assert "kept although no need was seen: CHOWN:" in shows(app, "#said")
        await press(pilot, "ctrl+s")
        text = path.read_text()
        assert "CHOWN" in text
        assert "NET_BIND_SERVICE" not in text

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
            (tmp_path, "Is a directory"),
            (tmp_path / "missing" / "x", "No such file"),
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


def test_an_export_is_a_page_that_needs_no_other_file(tmp_path: Path) -> None:
    file = tmp_path / "page.html"

    async def script(pilot: Session) -> None:
        await press(pilot, "E")
        assert pilot.app.screen.query_one("#file", Input).value == "capadvise.html"
        await name_file(pilot, file)
        await press(pilot, "enter")
        await settle(pilot)

    drive(app_on(NGINX), script)
    text = file.read_text()
    assert "<th>CHOWN</th>" in text
    assert "<script" not in text


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


def test_the_plan_says_that_a_file_runs_another_program(tmp_path: Path) -> None:
    unit = tmp_path / "db.service"
    unit.write_text("[Service]\nExecStart=/usr/bin/redis-server\n")
    made = plan(Choice(NGINX), "systemd", default(), unit, None)
    assert made.problem is None
    assert (
        "the report describes nginx, and this runs redis-server: the set may not fit" in made.notes
    )
