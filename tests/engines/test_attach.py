"""Containers that run already are watched, with what is executed in them meanwhile."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from capadvise.observe.ftrace import tracefs
from tests.support.attaching import attach
from tests.support.containers import ENVIRONMENT, PODMAN, REDIS, call, owner_inside, root_of
from tests.support.trace_buffers import all_instances
from tests.support.wait import until

DOCKER = ("docker",)
ENGINES = pytest.mark.parametrize("engine", [DOCKER, PODMAN], ids=["docker", "podman"])
Engine = tuple[str, ...]


@contextmanager
def container(engine: Engine, image: str, *words: str) -> Iterator[str]:
    """A container that runs, and is removed at the end. Its name."""
    name = f"capadvise-attach-{time.monotonic_ns()}"
    run = ("run", "-d", "--name", name, "--network=none", *words[:-1], image, "sh", "-c")
    done = call(*engine, *run, words[-1])
    assert done.returncode == 0, done.stderr
    try:
        yield name
        state = call(*engine, "inspect", "--format", "{{.State.Running}}", name)
        assert state.stdout.strip() == "true"
    finally:
        call(*engine, "rm", "-f", "--volumes", name)


def image_of(engine: Engine, request: pytest.FixtureRequest) -> str:
    image: str = request.getfixturevalue("podman_image" if engine == PODMAN else "docker_image")
    return image


def inside(engine: Engine, name: str, script: str) -> Callable[[], object]:
    """Execute something in a container, as the user does."""

    def execute() -> None:
        argv = [*engine, "exec", "--user=0", name, "sh", "-c", script]
        subprocess.run(argv, capture_output=True, timeout=60, env=ENVIRONMENT, check=False)

    return execute


@ENGINES
def test_what_is_executed_meanwhile_counts(
    engine: Engine, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """And nothing of the runtime does, nor of another container. What podman executes is followed
    in time only where the machine is not too busy, so that it takes a while here."""
    script = "chown 5 /etc" if engine == DOCKER else "sleep 3; chown 5 /etc"
    with (
        container(engine, image_of(engine, request), "sleep 1000") as name,
        container(
            engine,
            image_of(engine, request),
            "while sleep 0.1; do touch /x; chown 3 /x; chmod 2755 /x; done",
        ),
    ):
        result = attach(name, inside(engine, name, script), tmp_path / "report.json")
    assert result.recommended == {"CHOWN"}
    target = result.report["target"]
    assert (target["kind"], target["name"], target["engine"]) == ("container", name, engine[0])
    remediation = result.need("CHOWN")["remediation"]  # type: ignore[index]
    assert "/etc (layer 1 of the image) belongs to the system of the image" in remediation
    (recording,) = result.report["recordings"]
    assert {check["program"] for check in recording["checks"]} <= {"sh", "chown", "exe"}


def test_a_check_is_told_which_container(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    check = 'docker exec "$CONTAINER" ls /etc && test -d "/proc/$PID"'
    with container(DOCKER, image_of(DOCKER, request), "sleep 1000") as name:
        options = ("--check", check, "--for", "20")
        seen = attach(name, lambda: None, tmp_path / "report.json", *options, stop=False)
    assert seen.code == 0, seen.stderr


@ENGINES
def test_a_container_that_fails_for_want_of_a_capability(
    engine: Engine, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """docker's seccomp profile refuses mount before the kernel is asked; podman's does not."""
    script = "while sleep 0.1; do busybox mount -t tmpfs x /tmp 2>&-; echo >>/tried; done"
    with container(engine, image_of(engine, request), script) as name:
        tried = Path(root_of(engine[0], name), "tried")
        until(tried.exists)

        def once_more() -> None:
            before = tried.stat().st_size
            until(lambda: tried.stat().st_size >= before + 2)

        result = attach(name, once_more, tmp_path / "report.json")
    assert result.recommended == {"SYS_ADMIN"}
    (recording,) = result.report["recordings"]
    (check,) = (check for check in recording["checks"] if check["syscall"] == "mount")
    assert (check["cap"], check["granted"], check["result"]) == ("CAP_SYS_ADMIN", False, -1)
    assert result.need("SYS_ADMIN")["verdict"] == "needed"  # type: ignore[index]


@pytest.mark.usefixtures("debian")
def test_the_user_is_the_configured_one_not_that_of_what_runs(tmp_path: Path) -> None:
    """A container that starts as root and drops to another user is emitted as root."""
    drop = "exec setpriv --reuid 999 --regid 999 --clear-groups sleep 600"
    with container(DOCKER, REDIS, "--entrypoint=", drop) as name:
        result = attach(name, lambda: None, tmp_path / "report.json")
    assert result.report["target"]["user"] == "0:0"


@pytest.mark.parametrize("by", ["restart", "policy"])
def test_it_goes_on_with_the_next_start(
    by: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """From the first instruction of the container's program."""
    again = "test ! -e /tmp/again || chown 5 /etc"
    wait = "trap 'exit 1' TERM; while :; do sleep 0.1; done"
    script = f"{again}; touch /tmp/again; {wait}"
    policy = ("--restart=always",) if by == "policy" else ()

    def during() -> None:
        words = {"restart": ("restart", "-t", "5"), "policy": ("exec",)}[by]
        more = ("sh", "-c", "kill -TERM 1") if by == "policy" else ()
        done = call(*DOCKER, *words, name, *more)
        assert done.returncode in (0, 137), done.stderr
        until(lambda: owner_inside("docker", name, "/etc") == 5)

    with container(DOCKER, image_of(DOCKER, request), *policy, script) as name:
        until(lambda: owner_inside("docker", name, "/tmp/again") == 0)
        seen = attach(name, during, tmp_path / "report.json")
    assert seen.recommended == {"CHOWN"}, seen.stderr


def test_another_container_that_starts_meanwhile_is_left_alone(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Its shim descends from the daemon, which is followed: tracing it would slow it down."""
    image = image_of(DOCKER, request)
    ignored: set[str] = set()

    def during() -> None:
        with container(DOCKER, image, "sleep 60") as other:
            words = ("inspect", "--format", "{{.State.Pid}}", other)
            first = call(*DOCKER, *words).stdout.strip()
            until(lambda: first in _ignored())
            ignored.add(first)

    with container(DOCKER, image, "sleep 60") as name:
        seen = attach(name, during, tmp_path / "report.json")
    assert ignored
    assert seen.recommended == set(), seen.stderr


def _ignored() -> set[str]:
    """The threads that no capadvise on this machine will record."""
    ignored: set[str] = set()
    with all_instances() as folder:
        for file in folder.glob(f"{tracefs.PREFIX}*/set_event_notrace_pid"):
            with suppress(OSError):  # one that has ended is removed meanwhile
                ignored |= set(file.read_text().split())
    return ignored
