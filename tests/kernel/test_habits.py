"""What fingers know from other screens, typed on a real terminal over real reports."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs import CAPADVISE
from tests.support.tmux import Tmux, terminal
from tests.support.wait import until

SCRIPT = "touch f; chown 1 f; chmod 2755 f; mount -t tmpfs x /mnt; umount /mnt; nice -n -5 true"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run that needs CHOWN, FOWNER or FSETID, SYS_ADMIN and SYS_NICE."""
    folder = tmp_path_factory.mktemp("run")
    argv = [CAPADVISE, "run", "-q", "-o", "r.json", "--", "sh", "-c", SCRIPT]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder / "r.json"


@pytest.fixture
def user(tmp_path: Path) -> Iterator[Tmux]:
    with terminal(tmp_path, 120, 36) as opened:
        yield opened


def review(user: Tmux, report: Path, *before: str) -> str:
    user.run(*before, CAPADVISE, "review", str(report))
    return user.wait("CAP_SYS_ADMIN", "palette")


def absent(user: Tmux, *texts: str, seconds: float = 60) -> None:
    """Wait until none of these is shown."""
    until(lambda: not any(text in user.screen() for text in texts), seconds)


def in_order(user: Tmux, *texts: str) -> None:
    """Wait until all of these are shown, each behind the one before it. A screen is drawn piece by
    piece: what is shown of it at a time can be half of the old one."""

    def holds() -> bool:
        shown = user.screen()
        places = [shown.find(text) for text in texts]
        return -1 not in places and places == sorted(places)

    until(holds, shows=user.screen)


def row(user: Tmux, name: str) -> str:
    """The row of a capability in a list, once it is there."""

    def rows() -> list[str]:
        lines = user.screen().splitlines()
        return [line for line in lines if re.search(rf"[●◆] {name} +\S+ +\S", line)]

    return until(rows, shows=user.screen)[0]


# -------------------------------------------------------------------------- the list and its keys


@pytest.mark.parametrize(
    ("typed", "name"),
    [("sysadmin", "SYS_ADMIN"), ("netbind", "NET_BIND_SERVICE"), ("chwn", "CHOWN")],
)
def test_a_search_finds_what_is_nearly_typed(
    user: Tmux, report: Path, typed: str, name: str
) -> None:
    review(user, report)
    user.keys("/")
    user.type(typed)
    user.wait(f"─ CAP_{name} ─")
    user.keys("Escape")
    user.wait("Not checked 3", "/ search")


def test_a_search_without_a_match_says_so_and_its_text_is_no_command(
    user: Tmux, report: Path
) -> None:
    review(user, report)
    user.keys("/")
    user.type("qqq")
    user.wait("No capability matches. Esc shows all.")
    user.keys("Escape")
    user.wait("CAP_SYS_ADMIN", "Needed")


def test_j_k_g_and_G_move_in_every_list_and_pane(user: Tmux, report: Path) -> None:
    review(user, report)
    user.press("j", "j", until="─ CAP_CHOWN ─")
    user.press("k", "k", until="─ CAP_SYS_ADMIN ─")
    user.press("G", "G", until="▸ Not checked")
    user.press("g", "g", until="─ CAP_SYS_ADMIN ─")
    user.keys("4")
    user.wait("By risk")
    user.press("G", "G", until="What else restrains it")
    user.press("g", "g", until="─ CAP_SYS_ADMIN ─")
    user.keys("Tab")  # into the text beside it
    first = user.wait("Administer nearly everything")
    assert "Administer nearly everything" in first
    user.press("G", "G", until="Seen 1×: unmounting")
    absent(user, "Administer nearly everything")
    user.press("g", "g", until="Administer nearly everything")


def test_sorting_folding_zoom_views_and_undo(user: Tmux, report: Path) -> None:
    review(user, report)
    user.keys("o")
    user.wait("by first check")
    user.keys("o")
    user.wait("by name")
    in_order(user, "● CHOWN", "◆ SYS_ADMIN")
    user.keys("u")
    user.wait("▾ Not checked")
    user.keys("u")
    user.wait("▸ Not checked")
    user.press("Home", "Down", until="─ CAP_CHOWN ─")
    user.keys("Space")
    user.wait("Your set", "− CHOWN".replace("CHOWN", "● CHOWN")[:1])
    user.keys("z")
    absent(user, "Your set")
    user.keys("+")
    absent(user, "Evidence:", "─ compose ─")
    user.keys("Escape")
    user.wait("Evidence:")


def test_brackets_and_v_turn_the_views_where_there_is_room_for_one(
    tmp_path: Path, report: Path
) -> None:
    with terminal(tmp_path, 80, 24) as user:
        review(user, report)
        user.keys("]")
        user.wait("Evidence: SYS_ADMIN")
        user.keys("]")
        user.wait("─ compose ─")
        user.keys("[")
        user.wait("Evidence: SYS_ADMIN")
        user.keys("[")
        user.wait("─ CAP_SYS_ADMIN ─")


def test_space_leaves_the_row_that_it_changes_in_sight(tmp_path: Path) -> None:
    many = " ".join(f"-{n}" for n in range(30))
    with terminal(tmp_path, 80, 24) as user:
        script = f"touch f; chown 1 f; chmod 2755 f; nice -n -5 true; : {many}"
        user.run(CAPADVISE, "run", "-q", "-o", "r.json", "--", "sh", "-c", script)
        user.wait("status=0")
        user.run(CAPADVISE, "review", "r.json")
        user.wait("palette", "CHOWN")
        user.keys("u")
        user.wait("▾ Not checked")
        user.press("End", "Up", until="─ CAP_SYS_CHROOT ─")
        user.keys("Space")
        user.wait("Your set", "Added by you", "+ + SYS_CHROOT")


@pytest.mark.parametrize("shown", ["", " → 4 · root-equivalent"])
@pytest.mark.parametrize(
    ("keys", "obeyed"),
    [(["4", "G"], "What else restrains it"), ([*"42/qqq"], "No capability matches. Esc")],
)
def test_no_key_is_lost_that_is_typed_before_the_screen_is_there(
    user: Tmux, report: Path, shown: str, keys: list[str], obeyed: str
) -> None:
    """Right behind the command, and as soon as the first frame is drawn."""
    user.run(CAPADVISE, "review", str(report))
    user.wait(shown)
    user.keys(*keys)
    user.wait(obeyed)
    user.keys("Escape", "C-c")
    user.wait("status=")
    user.run(
        "sh", "-c", "stty -a | tr ' ' '\\n' | grep -xE -e '-?(echo|icanon|icrnl|ixon)' | xargs"
    )
    user.wait("icrnl ixon icanon echo")


# ------------------------------------------------------------------------------ help and footer


def test_help_begins_with_the_keys_of_the_screen_and_escape_closes_it(
    tmp_path: Path, report: Path
) -> None:
    with terminal(tmp_path, 80, 24) as user:
        review(user, report)
        user.keys("?")
        shown = user.wait("─ Help ─", "esc closes")
        lines = shown.splitlines()
        begin = next(number for number, line in enumerate(lines) if "─ Help ─" in line)
        assert "space  Keep/drop" in lines[begin + 1], shown
        assert "Scroll Left" not in shown
        user.keys("Escape")
        absent(user, "─ Help ─")
        user.keys("3")
        user.wait("Trials")
        user.keys("?")
        assert "p  Prove" in user.wait("─ Help ─", "esc closes").splitlines()[begin + 1]
        user.keys("Escape")
        absent(user, "─ Help ─")
        user.keys("q")
        user.wait("status=0")


def last_line(user: Tmux) -> str:
    return user.screen().rstrip("\n").splitlines()[-1]


def test_the_footer_shows_the_keys_that_work_now(user: Tmux, report: Path, tmp_path: Path) -> None:
    user.run(CAPADVISE, "run", "-o", "x.json", "--", "sh", "-c", "read line; sleep 300")
    user.wait("your keys go to it")
    until(lambda: "capadvise's own keys" in last_line(user))
    assert "Stop" not in last_line(user)
    user.keys("C-]")
    until(lambda: "q Stop" in last_line(user))
    assert "own keys" not in last_line(user)
    user.keys("q")
    user.wait("you stopped it")
    until(lambda: "q Quit" in last_line(user))
    user.keys("s")
    user.wait("─ Save ─")
    until(lambda: "^s Save" in last_line(user))
    assert "q Quit" not in last_line(user)
    user.keys("Escape")
    absent(user, "─ Save ─")
    user.keys("C-c")  # ends a review as q does
    user.wait("status=143")


def test_the_palette_offers_our_commands_first(user: Tmux, report: Path) -> None:
    review(user, report)
    user.wait("p Prove")  # who makes trials comes after the first screen
    user.keys("C-p")
    in_order(user, "go: review", "proof: start", "save: ")
    assert "Maximize" not in user.wait("go: risk")
    user.type("zoom")
    user.wait("view: zoom")
    user.keys("Escape")
    absent(user, "view: zoom")


def test_a_proof_without_a_check_takes_no_keys_until_one_goes_into_its_field(user: Tmux) -> None:
    user.run(CAPADVISE, "run", "-o", "x.json", "--", "sleep", "100")
    user.wait("● recording")
    user.keys("q")
    user.wait("you stopped it")
    user.keys("3")
    user.wait("need a health check", "Shell command that succeeds when the program works:")
    user.keys("2")
    user.wait("Not checked")
    user.keys("3")
    user.wait("need a health check")
    user.keys("q")
    user.wait("status=143")


# ---------------------------------------------------------------------------- what is remembered


def test_a_theme_and_keys_of_ones_own_are_remembered(
    user: Tmux, report: Path, tmp_path: Path
) -> None:
    kept = tmp_path / ".config" / "capadvise" / "tui.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps({"keys": {"leave": "Q", "undo": "U"}}))
    review(user, report, "env", "-u", "XDG_CONFIG_HOME")
    assert "Q Quit" in last_line(user)
    user.keys("C-p")
    user.wait("go: review")
    user.type("theme")
    user.wait("view: theme", "Change the current theme")
    user.keys("Enter")
    user.wait("Search for themes")
    user.type("nord")
    user.wait("nord")
    user.keys("Enter")
    until(lambda: json.loads(kept.read_text()).get("theme") == "nord")
    assert json.loads(kept.read_text())["keys"] == {"leave": "Q", "undo": "U"}
    user.keys("Q")
    user.wait("status=0")


def test_reports_are_listed_the_latest_first_and_enter_opens_one(
    user: Tmux, tmp_path: Path
) -> None:
    for name in ("early", "late"):
        user.run(
            "env",
            f"XDG_STATE_HOME={tmp_path}",
            CAPADVISE,
            "run",
            "-q",
            "--",
            *("sh", "-c", f"touch {name}; chown 1 {name}"),
        )
        user.wait("status=0")
        for path in (tmp_path / "capadvise").glob("sh-*.json"):
            path.rename(path.with_name(f"{name}.json"))
    listing = ["env", f"XDG_STATE_HOME={tmp_path}", CAPADVISE, "review"]
    user.run("sh", "-c", f"{shlex.join(listing)} | cat")
    shown = user.wait("status=0")
    assert shown.index("late.json") < shown.index("early.json")
    user.run(*listing)
    user.wait("Reports in", "q Quit")
    in_order(user, " late", " early")
    user.press("j", "j", until=" early")
    user.keys("Enter")
    user.wait("CAP_CHOWN", "touch early")
    user.keys("q")
    user.wait("status=0")


# ------------------------------------------------------------------------------------- files


def test_the_format_is_found_from_the_file(user: Tmux, report: Path, tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "shop.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n"
        "  - {name: one, image: x}\n"
    )
    review(user, report)
    user.keys("s")
    user.wait("─ Save ─")
    user.keys("C-u")
    user.wait(".: Is a directory")  # it is empty
    user.type("deploy/shop.yaml")
    user.wait("kubernetes", "The change")
    user.keys("Escape")
    absent(user, "─ Save ─")


def test_a_screenshot_goes_into_the_working_directory(
    user: Tmux, report: Path, tmp_path: Path
) -> None:
    review(user, report)
    user.keys("C-p")
    user.wait("go: review")
    user.type("screenshot")
    user.wait("Save an SVG")
    user.keys("Enter")
    until(lambda: list(tmp_path.glob("capadvise-*.svg")))
    user.wait("Screenshot: capadvise-")


def test_an_export_writes_a_page_that_needs_no_other_file(
    user: Tmux, report: Path, tmp_path: Path
) -> None:
    review(user, report)
    user.keys("E")
    user.wait("Would create capadvise.html.")
    user.keys("Enter")
    user.wait("Saved")
    page = (tmp_path / "capadvise.html").read_text()
    assert "SYS_ADMIN" in page
    assert "<script" not in page


# ------------------------------------------------------------------------------------- judgements


def test_review_and_risk_say_the_same_risk(user: Tmux, report: Path) -> None:
    review(user, report)
    risks = {name: row(user, name).split()[4] for name in ("SYS_ADMIN", "CHOWN", "SYS_NICE")}
    user.keys("4")
    user.wait("By risk")
    rows = [rf"✓ {name} +{risk}\b" for name, risk in risks.items()]
    until(lambda: all(re.search(one, user.screen()) for one in rows), shows=user.screen)


def test_dropping_strikes_the_attacks_at_once(user: Tmux, report: Path) -> None:
    review(user, report)
    user.keys("4")
    user.wait("By risk", "the worst risk is root-equivalent")
    user.keys("Space")
    user.wait("− SYS_ADMIN", "no longer do", "root-equivalent before your changes")
    attacks = re.compile(r"Attacks: \d+ → \d+ possible")
    until(lambda: attacks.search(user.screen()), shows=user.screen)
    user.keys("z")
    absent(user, "no longer do")


def test_what_retries_showed_is_not_called_untested(user: Tmux) -> None:
    script = "touch f; chown 1 f"
    user.run(CAPADVISE, "run", "--retry", "-o", "x.json", "--", "sh", "-c", script)
    user.wait("Confirmed by retrying", "Not checked")
    user.press("Home", "Down", until="─ CAP_CHOWN ─")
    shown = user.wait("Confirmed by retrying the call", "(confirmed by retrying")
    assert "inferred" not in shown
