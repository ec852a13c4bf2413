"""The review on state: what the keys do, and what is shown then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.command import CommandPalette
from textual.pilot import Pilot
from textual.theme import BUILTIN_THEMES
from textual.widgets import Input

from capadvise.judgement.decide import Verdict
from capadvise.model.caps import Cap
from capadvise.model.target import Target
from capadvise.report.pages import FORMATS, ON_TERMINAL
from capadvise.tui.choice import Base
from capadvise.tui.dialogs import HelpScreen
from capadvise.tui.main import Main
from capadvise.tui.palette import COMMANDS
from capadvise.tui.picker import Picker
from capadvise.tui.reviewtab import PAGE, EvidenceTree
from capadvise.tui.tab import MainTab
from capadvise.tui.tabs import TABS
from tests.support.golden import assert_golden
from tests.support.screens import (
    BIND,
    CHOWN,
    HOSTILE,
    HOSTNAME,
    NGINX,
    SETUID,
    Prover,
    app_on,
    drive,
    kept_choice,
    kept_report,
    page,
    press,
    proven,
    report,
    screen_text,
    settle,
    shows,
)
from tests.tui.goldens import GOLDEN, SCREENS, drawn

Session = Pilot[Any]


def test_all_capabilities_are_listed_by_verdict_and_what_was_not_checked_is_folded() -> None:
    app = app_on(NGINX)

    async def script(pilot: Session) -> None:
        def rows() -> list[str]:
            return [str(option.prompt).strip() for option in page(app).review.caps.options]

        assert [row.split()[0:3] for row in rows()] == [
            ["Needed", "3"],
            ["✓", "●", "CHOWN"],
            ["✓", "●", "SETUID"],
            ["✓", "●", "NET_BIND_SERVICE"],
            ["Incidental", "1"],
            ["○", "SYS_ADMIN", "root-equivalent"],
            ["▸", "Not", "checked"],
        ]
        await press(pilot, "u")
        assert len(page(app).review.caps.options) == 41 + 3

    drive(app, script)


def test_space_drops_the_highlighted_capability_everywhere_and_z_takes_it_back() -> None:
    app = app_on(NGINX)

    async def script(pilot: Session) -> None:
        assert "- CHOWN" in shows(app, "#snippet-text")
        assert page(app).check_action("undo", ()) is False
        await press(pilot, "space")
        assert kept_choice(app).caps == {Cap.parse("SETUID"), Cap.parse("NET_BIND_SERVICE")}
        assert "- CHOWN" not in shows(app, "#snippet-text")
        assert "41 → 2" in shows(app, "#board")
        said = " ".join(shows(app, "#status").split())
        assert said.startswith("Your set: 2 kept. Not tested: y tests exactly this set.")
        assert "Without CHOWN: changing a file's owner or group" in said
        assert said.endswith("docker's default 14 → 2 (−12)")
        assert "Dropped by you. Without it: changing a file's owner or group" in " ".join(
            shows(app, "#why-text").split()
        )
        await press(pilot, "z")
        assert kept_choice(app).caps == NGINX.proposal.recommended

    drive(app, script)


def test_keeping_one_that_nothing_needs_says_what_it_risks() -> None:
    app = app_on(NGINX)

    async def script(pilot: Session) -> None:
        await press(pilot, "u", "slash", *"sys_module", "enter", "space")
        assert (
            "no capability check for it was seen, and it adds a root-equivalent risk"
            in " ".join(shows(app, "#why-text").split())
        )
        assert "+SYS_MODULE" in shows(app, "#status")
        assert "root-equivalent → root-equivalent" in shows(app, "#board")

    drive(app, script)


def test_f_goes_through_all_formats_and_the_runtime_that_is_compared_follows() -> None:
    app = app_on(NGINX)

    async def script(pilot: Session) -> None:
        seen = []
        shown = list(ON_TERMINAL)
        for _ in shown:
            seen.append(page(app).review.query_one("#snippet").border_title)
            await press(pilot, "f")
        assert seen == shown
        await press(pilot, "F")
        assert page(app).format_name == shown[-1]
        page(app).format_name = "kubernetes"
        await settle(pilot)
        assert "containerd's default" in shows(app, "#status")

    drive(app, script)


@pytest.mark.parametrize(
    ("target", "language", "compared"),
    [
        (
            Target("unit", "web", ("systemctl", "restart", "web.service"), "/", "0:0"),
            "systemd",
            "systemd's default 41 → 3",
        ),
        (
            Target("container", "web", ("podman", "run", "web"), "/", "0:0", engine="podman"),
            "podman",
            "podman's default 11 → 3",
        ),
    ],
)
def test_it_begins_in_the_language_of_the_target(
    target: Target, language: str, compared: str
) -> None:
    app = app_on(replace(NGINX, target=target))

    async def script(_: Session) -> None:
        assert page(app).review.query_one("#snippet").border_title == language
        assert compared in shows(app, "#status")

    drive(app, script)


def test_the_set_can_be_switched_only_after_a_proof() -> None:
    app = app_on(proven())

    async def script(pilot: Session) -> None:
        assert kept_choice(app).base is Base.RECOMMENDED
        await press(pilot, "t")
        assert kept_choice(app).caps == NGINX.proposal.recommended - {Cap.parse("SETUID")}
        assert shows(app, "#status").startswith("The minimal set: 2 kept. Proven minimal")

    assert NGINX.proposal.minimal is None
    drive(app, script)


def test_search_finds_by_name_verdict_and_what_it_allows() -> None:
    app = app_on(NGINX)

    async def script(pilot: Session) -> None:
        def matching() -> list[str]:
            return [o.id for o in page(app).review.caps.options if o.id and o.id.startswith("cap-")]

        await press(pilot, "slash", *"ping")
        assert matching() == ["cap-13"]  # NET_RAW, which was not checked
        await press(pilot, "enter")
        assert app.focused is page(app).review.caps
        await press(pilot, "escape")
        assert matching() == ["cap-0", "cap-7", "cap-10", "cap-21"]
        assert app.query_one("#search", Input).value == ""

    drive(app, script)


def test_the_evidence_leads_from_program_to_call_site_and_meaning() -> None:
    app = app_on(NGINX)

    async def script(_: Session) -> None:
        tree = app.query_one(EvidenceTree)
        (program,) = tree.root.children
        (call,) = program.children
        lines = " ".join(str(node.label).strip() for node in call.children)
        assert (str(program.label), str(call.label)) == (
            "nginx  5×",
            "chown, uid 33  granted, needed  5×",
        )
        assert "capable_wrt_inode_uidgid ← setattr_prepare" in lines
        assert "means: changing a file's owner or group" in lines

    drive(app, script)


def test_evidence_of_many_programs_is_filled_a_page_at_a_time() -> None:
    many = [replace(CHOWN, program=f"worker-{number}") for number in range(5 * PAGE)]
    app = app_on(report(*many))

    async def script(pilot: Session) -> None:
        tree = app.query_one(EvidenceTree)
        assert len(tree.root.children) == PAGE + 1
        tree.focus()
        await press(pilot, "end", "enter")
        assert len(tree.root.children) == 2 * PAGE + 1
        assert str(tree.root.children[-1].label) == f"… {3 * PAGE} more: enter shows {PAGE}"

    drive(app, script)


def test_with_little_room_one_pane_is_shown_at_a_time() -> None:
    app = app_on(NGINX)

    async def script(pilot: Session) -> None:
        def shown() -> list[str]:
            return [n for n in ("why", "evidence", "snippet") if app.query_one(f"#{n}").display]

        assert shown() == ["why"]
        await press(pilot, "v")
        assert shown() == ["evidence"]
        await press(pilot, "v")
        assert shown() == ["snippet"]
        await pilot.resize_terminal(160, 50)
        await settle(pilot)
        assert shown() == ["why", "evidence", "snippet"]
        assert page(app).check_action("view", ()) is False

    drive(app, script, (80, 24))


def test_question_mark_shows_all_keys() -> None:
    app = app_on(NGINX)

    async def script(pilot: Session) -> None:
        await press(pilot, "question_mark")
        assert isinstance(app.screen, HelpScreen)
        text = screen_text(app)
        assert "Keep/drop" in text
        assert "Freeze" not in text, "the keys of this tab alone"
        await press(pilot, "escape")
        assert app.screen is page(app)

    drive(app, script)


def test_the_palette_has_every_action_that_does_something_now() -> None:
    app = app_on(proven(), Prover())

    async def script(pilot: Session) -> None:
        await press(pilot, "space")
        commands = [command.title for command in app.get_system_commands(app.screen)]
        titles = set(commands)
        assert {name for name, _, _ in COMMANDS} - titles - {"save: apply to the file here"} == {
            "go: live",  # nothing is recorded
            "proof: stop",  # none runs
            "proof: test this set",  # it was: see the trials
            "view: next target",
            "view: freeze",
            "view: why, evidence or snippet",  # all are shown
            "target: type into it",
            "target: stop",
        }
        assert commands[0] == "go: review", "ours come first"
        pages = {"html", "markdown", "svg"}
        assert {f"snippet: {name}" for name in set(FORMATS) - pages} <= titles

    drive(app, script)


def test_every_action_of_a_key_is_in_the_palette_or_in_textuals_own() -> None:
    keys = {binding.action.partition("(")[0] for binding in Main.BINDINGS}
    own = {
        "back",
        "interrupt",
        "app.suspend_process",
        "give_back",
        "minimize",
        "thaw",
        "kill",
        "leave",
    }
    assert keys - own - {"review"} == {action.partition("(")[0] for _, action, _ in COMMANDS}


def test_the_mouse_chooses_rows_and_screens() -> None:
    app = app_on(NGINX)

    async def script(pilot: Session) -> None:
        await pilot.click("#caps", offset=(6, 2))
        assert page(app).review.caps.selected == Cap.parse("SETUID")
        await pilot.click("#caps", offset=(1, 2))
        assert Cap.parse("SETUID") not in kept_choice(app).caps
        await pilot.click("#tab-risk")
        await settle(pilot)
        assert page(app).place == "risk"

    drive(app, script)


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
def test_hostile_names_arguments_and_paths_are_shown_harmlessly(size: tuple[int, int]) -> None:
    checks = [replace(item, program=HOSTILE, detail=HOSTILE) for item in (CHOWN, BIND)]
    app = app_on(report(*checks, name=HOSTILE, argv=(HOSTILE, "[link=x]")))

    async def script(pilot: Session) -> None:
        for keys in ("v", "v", "4", "3", "2", "s"):
            text = screen_text(app)
            assert not [char for char in text if ord(char) < 32 and char != "\n"]
            assert "\u202e" not in text
            assert "\udcff" not in text
            await press(pilot, keys)
        tree = app.screen_stack[0].query_one(EvidenceTree)
        assert str(tree.root.children[0].label).startswith("[bold red]x[/] \\x1b[31m\\x1b]0;owned")

    drive(app, script, size)


def test_a_capability_newer_than_the_catalog_is_shown() -> None:
    app = app_on(report(replace(BIND, cap=Cap(55))))

    async def script(_: Session) -> None:
        assert page(app).review.caps.selected == Cap(55)
        assert "CAP_55" in screen_text(app)
        assert "Newer than this catalog: unknown." in shows(app, "#why-text")

    drive(app, script)


def test_a_saved_report_has_no_live_tab_to_go_to() -> None:
    """It would wait for checks that never come."""
    app = app_on(NGINX)

    async def script(pilot: Session) -> None:
        await press(pilot, "1")
        assert page(app).place == "review"
        await pilot.click("#tab-live")
        assert page(app).place == "review"
        assert "go: live" not in [command.title for command in page(app).offers()]

    drive(app, script)


def test_what_is_said_of_the_set_is_all_there_where_there_is_room() -> None:
    """Its last line is as wide as the pane without a scroll bar."""
    more = [replace(BIND, cap=Cap.parse(name)) for name in ("KILL", "FSETID")]
    app = app_on(report(CHOWN, BIND, SETUID, HOSTNAME, *more, name="web", argv=("web",)))

    async def script(pilot: Session) -> None:
        await settle(pilot)
        box = app.screen.query_one("#status-box")
        assert box.max_scroll_y == 0
        assert "+SYS_ADMIN" in screen_text(app)

    drive(app, script, (100, 30))


def test_a_report_without_any_check_can_be_reviewed() -> None:
    app = app_on(report())

    async def script(pilot: Session) -> None:
        assert kept_choice(app).caps == frozenset()
        for key in ("space", "1", "3", "4", "2", "u", "down", "space", "f"):
            await press(pilot, key)
        assert [need.verdict for need in kept_report(app).proposal.needs] == []
        assert kept_report(app).proposal.need(Cap(0)).verdict is Verdict.NOT_CHECKED

    drive(app, script)


@pytest.mark.parametrize("name", SCREENS)
def test_the_screen_as_text(name: str) -> None:
    assert_golden(f"{name}.txt", drawn(name), GOLDEN)


def test_the_next_format_is_shown_where_one_pane_is() -> None:
    app = app_on(NGINX)

    async def script(pilot: Session) -> None:
        await press(pilot, "f", "f")
        assert page(app).review.view == "snippet"
        lines = shows(app, "#snippet-text").splitlines()
        flags = [line for line in lines if not line.startswith("#")]
        assert len(flags) > 1, "a command line is shown to its end"
        assert all(len(line) <= 36 for line in flags)

    drive(app, script, (80, 24))


def test_every_tab_of_the_table_has_a_help_and_takes_the_focus() -> None:
    app = app_on(NGINX)

    async def script(pilot: Session) -> None:
        assert page(app).tabs.keys() == TABS.keys()
        for name, entry in TABS.items():
            tab = page(app).tabs[name]
            assert isinstance(tab, MainTab)
            assert type(tab) is entry.load()
            assert HelpScreen([], name)
            assert tab.query(tab.FOCUS)

    drive(app, script)


def test_a_click_on_a_key_presses_it() -> None:
    app = app_on(NGINX)

    async def script(pilot: Session) -> None:
        line = screen_text(app).splitlines()[-1]
        await pilot.click("#keys", offset=(line.index("f Format") + 2, 0))
        await settle(pilot)
        assert page(app).format_name == "kubernetes"
        await pilot.click("#keys", offset=(line.index("^p"), 0))
        await settle(pilot)
        assert isinstance(app.screen, CommandPalette)

    drive(app, script)


def test_a_pane_that_fills_the_screen_says_how_to_get_back() -> None:
    app = app_on(NGINX)

    async def script(pilot: Session) -> None:
        await press(pilot, "plus")
        assert app.screen.maximized is not None
        assert "esc Back" in screen_text(app).splitlines()[-1]
        await press(pilot, "escape")
        assert app.screen.maximized is None
        assert "esc Back" not in screen_text(app).splitlines()[-1]

    drive(app, script, (80, 24))


def test_zoom_keeps_the_board_returns_with_the_same_key_and_hides_what_cannot_be_seen() -> None:
    app = app_on(proven())

    async def script(pilot: Session) -> None:
        await press(pilot, *["down"] * 6, "u", "G", "plus")
        lines = screen_text(app).splitlines()
        assert "41 → 3" in "\n".join(lines[:4])
        assert [page(app).check_action(name, ()) for name in ("view", "format")] == [False, False]
        await press(pilot, "plus")
        assert app.screen.maximized is None
        caps = page(app).review.caps
        assert caps.highlighted is not None
        top = round(caps.scroll_y)
        assert top <= caps.highlighted < top + caps.size.height

    drive(app, script, (80, 24))


@pytest.mark.parametrize("pane", ["#why-text", "#evidence", "#snippet-text", "#status"])
def test_ctrl_c_copies_what_is_selected_and_stays(pane: str) -> None:
    """It left, with the text that was marked."""
    app = app_on(proven())

    async def script(pilot: Session) -> None:
        widget = app.screen.query_one(pane)
        await pilot.mouse_down(widget, offset=(1, 1))
        await pilot.hover(widget, offset=(12, 1))
        await pilot.mouse_up(widget, offset=(12, 1))
        await press(pilot, "ctrl+c")
        assert app.is_running
        assert len(app.clipboard) > 5
        assert app.clipboard in screen_text(app)
        await press(pilot, "ctrl+c")
        assert not app.is_running

    drive(app, script)


def test_a_report_is_picked_with_the_key_that_is_named() -> None:
    app = Picker([(Path("a.json"), 2.0), (Path("b.json"), 1.0)], BUILTIN_THEMES["textual-dark"])

    async def script(pilot: Session) -> None:
        assert "Review" in str(app.query_one("#keys").render())
        await press(pilot, "down", "enter")
        assert app.return_value == Path("b.json")

    drive(app, script, (80, 24))
