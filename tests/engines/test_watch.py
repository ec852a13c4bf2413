"""Containers are named as their engine and their project name them."""

from __future__ import annotations

import os

import pytest

from tests.support.containers import PODMAN, call
from tests.support.pods import Node
from tests.support.watching import watching

NAME = f"capadvise-watch-{os.getpid()}"
LABELS = ("com.docker.compose.project=shop", "com.docker.compose.service=web")


def test_a_service_of_compose(docker_image: str) -> None:
    labels = [f"--label={label}" for label in LABELS]
    with watching("--json") as watch:
        call(
            *("docker", "run", "--rm", "--name", NAME, "--network=none", "--cap-drop=ALL"),
            *(*labels, docker_image, "sh", "-c", "chown 7 /etc; sleep 2"),
        )
        row = watch.row(lambda row: row["project"] == "shop" and row["caps"] == ["CAP_CHOWN"])
    assert (row["owner"], row["owner_kind"], row["engine"]) == ("web", "container", "docker")
    assert row["MESSAGE"].startswith("web (compose: shop) · chown: ")
    assert row["cure"] == '"cap_add: [CHOWN]"; or chown /etc once, beforehand'


@pytest.mark.parametrize("user", ["0", "1000"])
def test_a_container_of_podman(podman_image: str, user: str) -> None:
    """It gives to other users than root what is added; docker does not."""
    name = f"{NAME}-{user}"
    with watching("--json") as watch:
        call(
            *(*PODMAN, "run", "--rm", "--name", name, "--network=none", "--cap-drop=ALL"),
            *("--user", user, podman_image, "sh", "-c", "chown 8 /etc; sleep 2"),
        )
        row = watch.row(lambda row: row["owner"] == name and row["caps"] == ["CAP_CHOWN"])
    assert row["MESSAGE"].startswith(f"{name} (podman) · ")
    assert row["cure"] == '"podman run --cap-add=CHOWN"; or chown /etc once, beforehand'


def test_a_container_that_is_not_root(docker_image: str) -> None:
    """What is added would not reach it. It is over when its engine is asked."""
    with watching("--json") as watch:
        call(
            *("docker", "run", "--rm", "--name", f"{NAME}-user", "--network=none"),
            *("--user=1000", docker_image, "sh", "-c", "chown 9 /etc; sleep 2"),
        )
        row = watch.row(
            lambda row: row["about"].startswith("/etc, uid 9") and row["engine"] == "docker"
        )
    assert row["about"].startswith("/etc, uid 9")
    assert row["cure"].startswith("run it as root: uid 1000 holds no capability; or ")


def test_a_pod(kubelet: Node) -> None:
    with watching("--json") as watch, kubelet.pod("web-1") as pod:
        pod.run("db", "sh", "-c", "chown 6 /data; sleep 600")
        row = watch.row(lambda row: row["pod"] == "prod/web-1" and row["caps"] == ["CAP_CHOWN"])
    assert (row["owner"], row["owner_kind"]) == ("db", "pod")
    assert row["MESSAGE"].startswith("db (pod prod/web-1) · chown: ")
    assert row["cure"].startswith('"securityContext: {capabilities: {add: [CHOWN]}}"; or ')
