"""Containers on the live screen, on a real terminal: a row for each service, attach, and the way
into the user's own compose file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.containers import BOX, CLIENTS, MARK, call, composed
from tests.support.runs import CAPADVISE
from tests.support.tmux import Tmux, terminal

WAIT = "trap exit TERM; while :; do sleep 1; done"
pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("boxes")]
COMPOSE = f"""\
# our shop
name: {MARK}-live
services:
  web:
    image: {BOX}   # pinned
    command: [sh, -c, "touch /f; chown 33 /f; echo web is up; {WAIT}"]
    healthcheck:
      test: ["CMD", "test", "-e", "/f"]
      interval: 1s
  db:
    image: {BOX}
    command: [sh, -c, "mkdir /d; chown 998 /d; chmod 2755 /d; {WAIT}"]
    privileged: true
  job:
    image: {BOX}
    command: [sh, -c, "echo job; sleep 1"]
"""


def test_from_compose_up_to_a_patched_compose_file(tmp_path: Path) -> None:
    """A row for each service, with its lamps and its health; then the change of one of them."""
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    try:
        # So many rows: at the end there is a page on each service, in the order of their starts.
        with terminal(tmp_path, 120, 80) as user:
            user.run(CAPADVISE, "run", "-o", "out", "--", "docker", "compose", "up")
            user.wait("─ Targets ─", "● web", "● db", "■ job", "✓ healthy", "web is up")
            user.press("Home", "Down", until="Capabilities of db")
            user.wait("FOWNER", "● recording")
            user.keys("q")
            user.wait("you stopped it", "The recommended set", "n Next target")
            _choose(user, "db")
            user.keys("p")  # it has no health check
            user.wait("Shell command that succeeds", "; docker inspect --format {{.State")
            user.keys("Escape")
            user.wait("need a health check", "a Apply")
            user.keys("a")
            user.wait("compose.yaml", "-    privileged: true", "Changes db, and nothing else")
            assert (tmp_path / "compose.yaml").read_text() == COMPOSE
            user.keys("C-s")
            user.wait("written to compose.yaml")
            user.keys("q")
            user.wait("Next: capadvise prove --check 'sleep 5; docker inspect", "status=")
        assert "privileged" not in (tmp_path / "compose.yaml").read_text()
        services = composed(tmp_path)
        assert services["db"]["cap_drop"] == ["ALL"]
        assert "CHOWN" in services["db"]["cap_add"]
        assert "cap_drop" not in services["web"]
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
            *("db.json", "job.json", "web.json"),
        ]
    finally:
        call("docker", "compose", "down", "--timeout=1", cwd=tmp_path)


def _choose(user: Tmux, name: str) -> None:
    """One key at a time: a busy machine answers late, and a second one would lead past it."""
    while f"{name} (" not in (shown := user.wait(" of 3)")):
        now = re.search(r"\((\d) of 3\)", shown)
        assert now
        user.keys("n")
        user.wait(f"({int(now[1]) % 3 + 1} of 3)")


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_attach_shows_a_running_container_and_leaves_it_as_it_is(
    tmp_path: Path, engine: str
) -> None:
    name = f"{MARK}-attached-{engine}"
    work = "while :; do touch /f; chown 33 /f; sleep 0.2; done"
    client = CLIENTS[engine]
    started = call(*client, "run", "-d", "--rm", f"--name={name}", BOX, "sh", "-c", work)
    assert started.returncode == 0, started.stderr
    try:
        with terminal(tmp_path) as user:
            user.run(CAPADVISE, "attach", "-o", "r.json", name)
            user.wait("● recording", "● CHOWN", "attach")
            assert "Output of" not in user.screen()
            user.keys("q")
            user.wait("✓ ● CHOWN", "detached after")
            user.keys("q")
            user.wait("Report: r.json", "status=0")
        assert call(*client, "inspect", "--format={{.State.Running}}", name).stdout == "true\n"
    finally:
        call(*client, "kill", name)


def test_podman_run_has_its_terminal_and_its_review(tmp_path: Path) -> None:
    script = 'touch /f; chown 33 /f; printf "name? "; read name; echo "I am $name"'
    podman = [*CLIENTS["podman"], "run", "--rm", "-it", "--network=host", BOX, "sh", "-c", script]
    with terminal(tmp_path, 120, 36) as user:
        user.run(CAPADVISE, "run", "-o", "r.json", "--", *podman)
        user.wait("name?", "● CHOWN", "your keys go to it")
        user.type("box")
        user.keys("Enter")
        user.wait("✓ ● CHOWN", "exited with 0", "--cap-drop=ALL")
        user.keys("1")
        user.wait("I am box")
        user.keys("q")
        user.wait("status=0", "Report: r.json")
