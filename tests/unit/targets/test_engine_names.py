"""What engines answer of a container, by its name or by its control group. Scripts play them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from capadvise.judgement.watched import Owner, OwnerKind
from capadvise.model.errors import BadInput, CannotObserve
from capadvise.targets.containers import registry
from capadvise.targets.running.machine import Owners

NOBODY = 1 << 22 | 1
"""No process has this number: pids are below 2 to the power of 22."""


def described(container: str, pid: int = 1, labels: dict[str, str] | None = None) -> str:
    status = "running" if pid else "exited"
    raw = {
        "Id": container * 64,
        "Name": "/web",
        "Image": "image",
        "Config": {"User": "", "Labels": labels or {}},
        "State": {"Status": status, "Pid": pid},
        "HostConfig": {},
    }
    return f"cat <<'X'\n{json.dumps([raw])}\nX\n"


ABSENT = "echo 'Error: no such container web' >&2; exit 1\n"
DOWN = "echo 'Cannot connect to the daemon' >&2; exit 1\n"


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the programs of engines; no other has any."""
    (tmp_path / "cat").symlink_to("/bin/cat")
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("CONTAINER_HOST", "CONTAINER_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/socket")  # where nobody answers
    return tmp_path


def install(folder: Path, name: str, inspected: str, info: str = '{"host": {}}') -> None:
    script = f"#!/bin/sh\nif [ $1 = info ]; then echo '{info}'; exit; fi\n{inspected}"
    (folder / name).write_text(script)
    (folder / name).chmod(0o755)


def test_the_engine_that_has_it_is_found(engine: Path) -> None:
    install(engine, "docker", ABSENT)
    install(engine, "podman", described("b", pid=7))
    container = registry.running_container("web")
    assert (container.engine, container.id, container.pid) == ("podman", "b" * 64, 7)


def test_where_an_engine_is_installed_that_is_down_the_other_is_asked(engine: Path) -> None:
    install(engine, "docker", DOWN)
    install(engine, "podman", described("b"))
    assert registry.running_container("web").engine == "podman"


@pytest.mark.parametrize(
    ("engines", "said", "hint"),
    [
        ({}, "no container web: none of docker, podman is installed", "docker ps"),
        ({"docker": ABSENT}, "no container web: docker has none", "docker ps"),
        (
            {"docker": DOWN, "podman": ABSENT},
            "no container web: docker: Cannot connect to the daemon; podman has none",
            "docker ps",
        ),
        (
            {"docker": described("a"), "podman": described("b")},
            "several containers are called web",
            f"{'a' * 64}, {'b' * 64}",
        ),
        ({"podman": described("b", 0)}, "container web is not running", "podman start web"),
    ],
    ids=["no engine", "none", "down and none", "in both", "stopped"],
)
def test_why_there_is_none(engine: Path, engines: dict[str, str], said: str, hint: str) -> None:
    for name, inspected in engines.items():
        install(engine, name, inspected)
    with pytest.raises(BadInput) as caught:
        registry.running_container("web")
    assert str(caught.value) == said
    assert hint in (caught.value.hint or "")


def test_a_container_of_another_machine_cannot_be_observed(engine: Path) -> None:
    install(engine, "podman", described("b"), '{"host": {"serviceIsRemote": true}}')
    with pytest.raises(CannotObserve, match="another machine"):
        registry.running_container("web")


def owners_of(*names: str) -> list[Owner]:
    """Of processes that are over: the kernel has told their control groups."""
    owners = Owners()
    return [owners.of(NOBODY, "sh", ("system.slice", name)) for name in names]


def test_an_engine_is_asked_once_whose_container_it_was(engine: Path) -> None:
    labels = {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}
    install(engine, "docker", f"echo >>{engine}/asked\n{described('a', labels=labels)}")
    group = f"docker-{'a' * 64}.scope"
    first, second = owners_of(group, group)
    assert first == second
    assert (first.kind, first.name, first.project) == (OwnerKind.CONTAINER, "web", "shop")
    assert (engine / "asked").read_text() == "\n"


@pytest.mark.parametrize("answer", [ABSENT, DOWN])
def test_where_no_engine_knows_it_its_id_is_shown(engine: Path, answer: str) -> None:
    install(engine, "docker", answer)
    (owner,) = owners_of(f"docker-{'a' * 64}.scope")
    assert (owner.kind, owner.name, owner.engine) == (OwnerKind.CONTAINER, "a" * 12, "docker")


def test_a_container_of_containerd_is_a_pods() -> None:
    (owner,) = owners_of(f"cri-containerd-{'c' * 64}.scope")
    assert (owner.kind, owner.name) == (OwnerKind.POD, "c" * 12)
