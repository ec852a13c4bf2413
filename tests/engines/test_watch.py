"""Containers are named as their engine and their project name them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.containers import PODMAN, call
from tests.support.pods import Node
from tests.support.watching import Watching, watching

DOCKER = ("docker",)
NAME = f"capadvise-watch-{os.getpid()}"
COMPOSE = (
    "--label=com.docker.compose.project=shop",
    "--label=com.docker.compose.service=web",
)


@contextmanager
def refused(
    engine: tuple[str, ...],
    image: str,
    *options: str,
    does: str = "chown 7 /etc",
    watches: tuple[str, ...] = (),
) -> Iterator[Watching]:
    """A watch, and a container that may not give away a folder. It stays until it is known."""
    words = ("run", "--detach", "--name", NAME, "--network=none", "--cap-drop=ALL", *options)
    try:
        with watching("--json", *watches) as watch:
            done = call(*engine, *words, image, "sh", "-c", f"{does}; sleep 1000")
            assert done.returncode == 0, done.stderr
            yield watch
    finally:
        call(*engine, "rm", "-f", NAME)


def row_of(watch: Watching, **fields: str) -> Any:
    return watch.row(lambda row: row["caps"] == ["CAP_CHOWN"] and fields.items() <= row.items())


def test_a_service_of_compose(docker_image: str) -> None:
    with refused(DOCKER, docker_image, *COMPOSE) as watch:
        row = row_of(watch, project="shop", about="/etc, uid 7, gid 0")
    assert (row["owner"], row["owner_kind"], row["engine"]) == ("web", "container", "docker")
    assert row["MESSAGE"].startswith("web (compose: shop) · chown: ")
    assert row["cure"].startswith('"cap_add: [CHOWN]"; or leave /etc as it is, which belongs to ')


@pytest.mark.parametrize("user", ["0", "1000"])
def test_a_container_of_podman(podman_image: str, user: str) -> None:
    """It gives to other users than root what is added; docker does not."""
    with refused(PODMAN, podman_image, f"--user={user}") as watch:
        row = row_of(watch, owner=NAME)
    assert row["MESSAGE"].startswith(f"{NAME} (podman) · ")
    leave = "leave /etc as it is, which belongs to the system: let it use files of its own"
    grant = '"podman run --cap-add=CHOWN"; or '
    assert row["cure"] == f"{grant if user == '0' else ''}{leave}"


def test_a_container_that_is_not_root(docker_image: str) -> None:
    """What is added would not reach it."""
    with refused(DOCKER, docker_image, "--user=1000") as watch:
        row = row_of(watch, owner=NAME)
    assert row["cure"].endswith(". Adding the capability is no cure: uid 1000 would not hold it")


def test_what_the_engines_filter_answers(docker_image: str) -> None:
    """It lets chroot through with a capability, which the kernel has not asked for yet."""
    watches = ("--every-call",)
    with refused(DOCKER, docker_image, does="chroot / true", watches=watches) as watch:
        row = watch.row(lambda row: row["owner"] == NAME and row["syscall"] == "chroot")
    assert (row["by"], row["caps"], row["errno"]) == ("seccomp", [], "EPERM")
    assert row["cure"].endswith(": its engine's default one does with CAP_SYS_CHROOT")


def test_a_pod(kubelet: Node) -> None:
    with watching("--json") as watch, kubelet.pod("web-1") as pod:
        pod.run("db", "sh", "-c", "chown 6 /data; sleep 600", less=["ALL"])
        row = row_of(watch, pod=f"{pod.namespace}/web-1")
    assert (row["owner"], row["owner_kind"]) == ("db", "pod")
    assert row["MESSAGE"].startswith(f"db (pod {pod.namespace}/web-1) · chown: ")
    assert row["cure"].startswith('"securityContext: {capabilities: {add: [CHOWN]}}"; or ')
