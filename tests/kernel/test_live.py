"""The whole way on a real terminal: watch, understand, choose, prove, save; and all that can come
between."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from capadvise.kernel import procfs
from tests.support.containers import composed
from tests.support.processes import leftovers, running
from tests.support.runs import CAPADVISE
from tests.support.tmux import Tmux, terminal
from tests.support.trace_buffers import overwritten
from tests.support.wait import until

NGINX = """\
pid nginx.pid;
error_log stderr;
user nobody nogroup;
events {}
http {
  access_log off;
  client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp;
  uwsgi_temp_path tmp; scgi_temp_path tmp;
  server { listen 80; return 200 "hello\\n"; }
}
"""
COMPOSE = """\
services:
  web:
    image: nginx   # pinned elsewhere
    cap_add: [SYS_ADMIN]
  db:
    image: postgres
"""


def test_from_the_first_check_to_a_patched_compose_file(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text(NGINX)
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    script = 'ip link set lo up; exec "$@"'
    check = "test -e go && curl -fs http://localhost/"
    with terminal(tmp_path, 120, 40) as user:
        user.run(
            *("unshare", "--net", "sh", "-c", script, "sh"),
            *(CAPADVISE, "run", "-o", "r.json", "--check", check, "--"),
            *("nginx", "-p", str(tmp_path), "-c", "nginx.conf", "-g", "daemon off;"),
        )
        user.wait("recording", "NET_BIND_SERVICE", "SETUID", "Needed")
        (tmp_path / "go").touch()
        user.wait(
            "The recommended set", "Recorded once, not proven", "● NET_BIND_SERVICE", "- CHOWN"
        )
        user.keys("p")
        user.wait("✓ Proven minimal:", "· ✓ proven", seconds=300)
        user.keys("2")
        user.wait("Not checked")
        user.press("Home", "Down", until="─ CAP_SETGID ─")
        user.keys("Space")
        user.wait("Dropped by you. Without it:", "Your set")
        user.keys("a")
        user.wait("compose.yaml", "Several services are in it: choose one.")
        user.keys("Enter")
        user.wait("▲")  # the menu is open: db stands below as well
        user.keys("Down", "Enter")
        user.wait("Changes web, and nothing else", "-    cap_add: [SYS_ADMIN]")
        assert (tmp_path / "compose.yaml").read_text() == COMPOSE
        user.keys("C-s")
        user.wait("written to compose.yaml")
        user.keys("q")
        user.wait("Next: capadvise emit", "status=0")
    web = composed(tmp_path, "-f", "compose.yaml")["web"]
    assert web["cap_drop"] == ["ALL"]
    assert "NET_BIND_SERVICE" in web["cap_add"]
    assert not {"SETGID", "SYS_ADMIN"} & set(web["cap_add"])
    assert "# pinned elsewhere" in (tmp_path / "compose.yaml").read_text()
    assert json.loads((tmp_path / "r.json").read_text())["proof"]["minimal"]["minimal"]


# ------------------------------------------------------------------------ what can come between


@pytest.fixture
def user(tmp_path: Path) -> Iterator[Tmux]:
    with terminal(tmp_path) as opened:
        yield opened


def start(user: Tmux, *argv: str, options: tuple[str, ...] = ()) -> None:
    user.run(CAPADVISE, "run", "-o", "r.json", *options, "--", *argv)


def report_of(folder: Path) -> Any:
    until(lambda: (folder / "r.json").exists(), 60)
    return json.loads((folder / "r.json").read_text())["recordings"][0]


OURS = ("capadvise", "guardian")


def first_of(marker: str) -> int:
    """The capadvise that the user started; it is not always the lowest pid: they begin anew."""
    found = [pid for pid in running(marker) if procfs.comm(pid) == "capadvise"]
    return next(pid for pid in found if procfs.parent(pid) not in found)


def test_the_screen_says_what_observes(tmp_path: Path) -> None:
    with terminal(tmp_path, 120, 24) as user:
        user.run(CAPADVISE, "run", "--retry", "-o", "r.json", "--", "sleep", "60")
        user.wait("recording", "none dropped", "+retry")
        user.keys("q")
        user.wait("you stopped it")
        user.keys("q")
        user.wait("status=")


def test_a_prompt_is_answered_and_the_terminal_is_as_it_was(user: Tmux, tmp_path: Path) -> None:
    user.run("sh", "-c", "stty -a > before")
    user.wait("status=0")
    script = r'printf "\033]0;title\007\033[31mYour name? "; read name; echo "I am $name"; exit 5'
    start(user, "sh", "-c", script)
    user.wait("Your name?", "your keys go to it")  # it waits for a line, and gets the keys
    user.type("q")
    user.keys("Enter")
    user.wait("I am q", "exited with 5")
    user.keys("q")
    assert "I am q" in user.wait("status=5", "Report: r.json")
    user.run("sh", "-c", "stty -a > after")
    user.wait("status=0")
    assert (tmp_path / "before").read_text() == (tmp_path / "after").read_text()


def test_a_full_screen_program_runs_in_the_pane(user: Tmux, tmp_path: Path) -> None:
    program = tmp_path / "full"
    program.write_text(
        "trap 'printf \"resized: \"; stty size' WINCH\n"
        "echo line; printf '\\033[?1049h\\033[Hall of it: '; stty size\n"
        "until [ -e stop ]; do sleep 0.1; done; kill -9 $$\n"
    )
    start(user, "bash", "full")
    until(lambda: re.search(r"capadvise(?s:.*)all of it: \d+ 9[78]\b", user.screen()))
    user.resize(90, 25)
    until(
        lambda: re.search(r"capadvise(?s:.*)resized: \d+ 8[78]\b", user.screen()), shows=user.screen
    )
    (tmp_path / "stop").touch()
    user.wait("crashed (SIGKILL)", "Enter: review")
    user.keys("q")
    user.wait("status=137")
    assert report_of(tmp_path)["exit_status"] == 137


def test_a_target_that_never_ends_is_stopped_by_q_and_killed_by_another(
    user: Tmux, tmp_path: Path
) -> None:
    start(user, "sh", "-c", "trap 'echo never' TERM; while :; do sleep 0.2; done")
    user.wait("recording")
    user.keys("q")
    user.wait("stopping, killed in", "never", "q Kill")
    user.keys("C-c")
    user.wait("you stopped it")
    user.keys("C-c")
    user.wait("status=137")
    assert report_of(tmp_path)["interrupted"]


def test_events_that_were_dropped_are_said_at_once(user: Tmux, tmp_path: Path) -> None:
    """A recorder that cannot read for a while: here it is stopped."""
    flood = "import os\nopen('f', 'w')\nwhile not os.path.exists('stop'): os.chown('f', 1, 1)"
    start(user, sys.executable, "-c", flood)
    user.wait("recording", "● CHOWN")
    target = next(pid for pid in running("exists('stop')") if procfs.comm(pid) not in OURS)
    recorder = procfs.parent(procfs.parent(target))  # the guardian is between them
    os.kill(recorder, signal.SIGSTOP)
    until(lambda: overwritten(recorder))
    os.kill(recorder, signal.SIGCONT)
    user.wait("events dropped · ")
    (tmp_path / "stop").touch()
    user.wait("recommended set", "events dropped")
    assert report_of(tmp_path)["lost"]["signal"] > 0


@pytest.mark.parametrize("how", ["hangup", "term", "kill"])
def test_however_capadvise_is_ended_the_target_ends_and_the_report_is_kept(
    user: Tmux, tmp_path: Path, how: str
) -> None:
    marker = f"{4000 + os.getpid() % 1000}.25"
    start(user, "sh", "-c", f"touch f; chown nobody f; sleep {marker}")
    user.wait("recording", "CHOWN")
    capadvise = first_of(marker)
    if how == "hangup":
        user.close()
    elif how == "term":
        os.kill(capadvise, signal.SIGTERM)
        assert "sh most likely needs CHOWN (1; " in user.wait("status=143")
    else:
        user.wait("none dropped", "CHOWN: changing")
        os.kill(capadvise, signal.SIGKILL)
        report_of(tmp_path)
        user.run("stty")
        assert "-icanon" not in user.wait("speed", "status=0")
    until(lambda: not running(f"sleep\0{marker}"), 60)
    assert report_of(tmp_path)["exit_status"] in (128 + signal.SIGHUP, 128 + signal.SIGTERM)
    until(lambda: not Path(f"/proc/{capadvise}").exists(), 60)
    until(lambda: not leftovers(), 60)


def test_what_ends_at_once_or_cannot_start(user: Tmux) -> None:
    start(user, "true")
    user.wait("Drop all of them", "q Quit")
    user.keys("q")
    user.wait("status=0")
    start(user, "no-such-command")
    assert "command not found" in user.wait("status=127")


def bold_lines(user: Tmux, word: str) -> list[str]:
    """What the outer terminal shows in bold of what was printed, not of what was typed."""
    lines = user.tell("capture-pane", "-p", "-e").splitlines()
    printed = [line for line in lines if word in line and "printf" not in line]
    return [line for line in printed if "\x1b[1m" in line or "\x1b[1;" in line]


def test_line_editing_history_and_colours_of_a_shell(user: Tmux) -> None:
    start(user, "bash", "--norc")
    user.wait("your keys go to it", "$ ")  # it waits for keys, and has them
    user.type("echo hello world")
    user.keys("Home", "Delete", "Delete", "Delete", "Delete")
    user.type("printf 'b%sd\\n'")
    user.keys("Enter")
    user.wait("bhellod", "bworldd")
    user.type("printf '\\033[1;31mred\\033[0m\\n'")
    user.keys("Enter")
    until(lambda: bold_lines(user, "red"))
    user.keys("Up", "Up", "Enter")
    until(lambda: user.screen().count("bhellod") == 2)
    user.keys("C-c")
    user.type("exit 3")
    user.keys("Enter")
    user.wait("exited with 3")
    user.keys("q")
    user.wait("status=3")


def test_an_editor_in_the_shell_takes_the_pane_and_gives_it_back(user: Tmux) -> None:
    start(user, "bash", "--norc")
    user.wait("your keys go to it", "$ ")
    user.type("vi -u NONE new.txt")
    user.keys("Enter")
    user.wait("capadvise", "~", "new.txt")
    user.keys("i")
    user.type("written in the pane")
    user.keys("Escape", ":", "w", "q", "Enter")  # at once: none of these is Alt
    user.wait("$ vi -u NONE new.txt")
    user.type("cat new.txt; exit")
    user.keys("Enter")
    user.wait("Drop all of them")
    user.keys("1")
    user.wait("written in the pane", "exited with 0")


def test_a_screen_that_is_drawn_again_and_again(user: Tmux) -> None:
    start(user, "top", "-d", "0.5")
    shown = user.wait("load average", "PID", "your keys go to it")
    assert shown.count("load average") == 1
    user.keys("q")  # is for top
    user.wait("exited with 0")


@pytest.mark.parametrize(
    "argv",
    [("grep", "[/a]", "/etc/passwd"), ("sed", "s/[/]/_/", "/etc/hostname"), ("echo", "[bold]x[/]")],
)
def test_markup_in_a_command_is_text(user: Tmux, argv: tuple[str, ...]) -> None:
    start(user, *argv)
    user.wait("exited with 0", argv[1])
    user.keys("q")
    user.wait("Report: r.json", "status=0")


def test_the_call_that_decides_is_told_not_the_last_one(user: Tmux) -> None:
    loop = "while :; do sleep .3; ls >/dev/null; done"
    start(user, "sh", "-c", f"mount -t tmpfs x /mnt; umount /mnt; {loop}")
    user.wait("◆ SYS_ADMIN", "mount[", "incidental")
    until(lambda: re.search(r"recording ([5-9]|\d\d+) s", user.screen()), shows=user.screen)
    assert "brk" not in user.screen()
    user.keys("q")
    user.wait("you stopped it")


def test_a_health_check_that_fails_is_seen_and_why(user: Tmux) -> None:
    start(user, "sleep", "100", options=("--check", "echo not yet; false"))
    user.wait("health check: failing for", "not yet")
    user.keys("q")
    user.wait("health check failed after", "Enter: review")


def test_a_crash_is_said(user: Tmux) -> None:
    start(user, "sh", "-c", "kill -SEGV $$")
    user.wait("crashed (SIGSEGV)", "Enter: review")
    user.keys("q")
    user.wait("status=139")


def test_suspending_and_going_on_draws_all_of_it_again(user: Tmux) -> None:
    start(user, "sleep", "60")
    user.wait("● recording")
    user.keys("C-z")
    user.wait("Stopped")
    user.type("fg")
    user.keys("Enter")
    user.wait("capadvise", "Capabilities", "Output of", "q Stop")
    user.keys("q")
    user.wait("you stopped it")


def test_stopped_by_a_signal_it_goes_on_where_it_was(user: Tmux) -> None:
    """Again and again, while much is drawn: the signal comes at any moment."""
    marker = f"sleep {4000 + os.getpid() % 1000}.75"
    start(
        user, "sh", "-c", f"touch f; chown nobody f; (while :; do echo $((n+=1)); done) & {marker}"
    )
    user.wait("● recording", "● CHOWN")
    capadvise = first_of(marker)
    for _ in range(10):
        os.kill(capadvise, signal.SIGTSTP)
        user.wait("Stopped")
        user.type("fg")
        user.keys("Enter")
        user.wait("● CHOWN", "● recording", "q Stop")
    user.keys("q")
    user.wait("you stopped it", "it was stopped before")


def test_a_busy_loop_is_followed_and_keys_are_answered(user: Tmux) -> None:
    code = "import os\nopen('f', 'w')\nwhile True: os.chown('f', 1, 1)"
    start(user, sys.executable, "-c", code)
    user.wait("● CHOWN", "k×", "● recording")
    user.keys("u")
    user.wait("▾ Incidental")
    user.keys("w")
    user.wait("display frozen")
    user.keys("w")
    until(lambda: "display frozen" not in user.screen())
    user.keys("q")
    user.wait("you stopped it", "✓ ● CHOWN")


def test_attach_to_a_process_shows_it_and_leaves_it(user: Tmux) -> None:
    argv = ["sh", "-c", "while :; do touch f; chown nobody f; sleep 0.2; done"]
    with subprocess.Popen(argv, cwd=user.folder, stdout=subprocess.DEVNULL) as target:
        try:
            user.run(CAPADVISE, "attach", "-o", "r.json", str(target.pid))
            user.wait("● recording", "● CHOWN", "chown[")
            assert "Output of" not in user.screen()
            user.keys("q")
            user.wait("✓ ● CHOWN", "detached after")
            user.keys("q")
            user.wait("status=0")
            assert target.poll() is None
        finally:
            target.kill()


def test_a_proof_that_cannot_be_made_stays_on_the_screen(user: Tmux, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = "cd gone && \"$0\" run -q -o ../r.json -- sh -c 'touch f; chown nobody f'"
    user.run("sh", "-c", script, CAPADVISE)
    user.wait("status=0")
    (gone / "f").unlink()
    gone.rmdir()
    user.run(CAPADVISE, "review", "r.json")
    user.wait("CAP_CHOWN", "p Prove")
    user.keys("p")
    user.wait("Cannot prove:", "gone")
    user.keys("2", "3")
    user.wait("Cannot prove:", "gone")


def test_a_terminal_that_cannot_be_drawn_on_gets_text(user: Tmux) -> None:
    start(user, "true", options=("-q",))
    user.wait("status=0")
    user.run("env", "TERM=dumb", CAPADVISE, "review", "r.json")
    user.wait("review needs a terminal", "status=2")


@pytest.mark.parametrize("option", ["--no-tui", "-q", "--json"])
def test_without_the_screens_it_is_as_it_was(user: Tmux, tmp_path: Path, option: str) -> None:
    start(user, "sh", "-c", "tty > tty; exit 4", options=(option,))
    user.wait("status=4")
    assert (tmp_path / "tty").read_text() == user.tell("display", "-p", "#{pane_tty}")
