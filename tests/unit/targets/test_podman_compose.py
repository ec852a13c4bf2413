"""What podman-compose is given: its own files, and a project in its own forms."""

from __future__ import annotations

from capadvise.config.run.pflag import Option, words
from capadvise.targets.containers.podman_compose import for_docker, written

IN_POD, FILE = Option("in-pod", "false"), Option("file", "a.yaml")


def test_all_files_that_it_reads_are_resolved() -> None:
    """docker compose alone would read the first one."""
    there = {"docker-compose.yml", "podman-compose.yaml", "compose.yaml", "other.yaml"}
    seen = for_docker((IN_POD, Option("profile", "x")), {}, there.__contains__)
    assert words(seen) == (
        *("--profile=x", "--file=compose.yaml", "--file=podman-compose.yaml"),
        "--file=docker-compose.yml",
    )


def test_files_that_are_named_are_the_only_ones() -> None:
    assert for_docker((IN_POD, FILE), {}, lambda _: True) == (FILE,)
    assert for_docker((IN_POD,), {"COMPOSE_FILE": "b.yaml"}, lambda _: True) == ()


def test_a_resolved_project_is_written_as_it_reads_it() -> None:
    devices = [
        {"source": "/dev/fuse", "target": "/dev/fuse", "permissions": "rwm"},
        {"source": "/dev/a", "target": "/dev/b"},
        "/dev/c",
    ]
    service = {
        **{"image": "i", "entrypoint": None, "extra_hosts": ["a=::1", "b=1.2.3.4", "c:5.6.7.8"]},
        **{"devices": devices, "healthcheck": {"test": ["CMD", "a", "b c"], "interval": "1s"}},
    }
    assert written({"name": "p", "services": {"web": service, "db": {"image": "j"}}}) == {
        "name": "p",
        "services": {
            "web": {
                **{"image": "i", "extra_hosts": ["a:::1", "b:1.2.3.4", "c:5.6.7.8"]},
                "devices": ["/dev/fuse:/dev/fuse:rwm", "/dev/a:/dev/b", "/dev/c"],
                "healthcheck": {"test": ["CMD-SHELL", "a 'b c'"], "interval": "1s"},
            },
            "db": {"image": "j"},
        },
    }
