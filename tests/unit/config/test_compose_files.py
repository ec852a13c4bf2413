"""Which file ``emit --into`` is told to patch."""

from __future__ import annotations

from pathlib import Path

import pytest

from capadvise.config.compose.files import file_of
from capadvise.model.target import Target

WEB = "services: {web: {image: x}}\n"
OPEN = "services: {web: {cap_add: [CHOWN]}}\n"
OTHER = "services: {db: {image: x}}\n"


@pytest.mark.parametrize(
    ("files", "words", "environment", "file"),
    [
        ({"compose.yaml": WEB}, (), {}, "compose.yaml"),
        ({"compose.yml": WEB, "compose.override.yml": OPEN}, (), {}, "compose.override.yml"),
        ({"compose.yml": WEB, "compose.override.yml": OTHER}, (), {}, "compose.yml"),
        (
            {"docker-compose.yml": WEB, "docker-compose.yaml": WEB},
            *((), {}, "docker-compose.yml"),
        ),
        (
            {"compose.yaml": WEB, "compose.override.yaml": OPEN, "compose.override.yml": OPEN},
            *((), {}, "compose.override.yml"),
        ),
        ({"../compose.yaml": WEB}, (), {}, "../compose.yaml"),
        ({"compose.yaml": "include: [a/b.yaml]\n", "a/b.yaml": WEB}, (), {}, "a/b.yaml"),
        (
            {"compose.yaml": f"include: [path: [c.yaml, b.yaml]]\n{OTHER}", "c.yaml": OTHER}
            | {"b.yaml": "include: [d.yaml, compose.yaml]\n", "d.yaml": WEB},
            *((), {}, "d.yaml"),
        ),
        ({"compose.yaml": "include: [{path: b.yaml}]\n"}, (), {}, "compose.yaml"),
        ({"a.yaml": OTHER, "b.yaml": WEB}, ("--file=a.yaml", "--file=b.yaml"), {}, "b.yaml"),
        ({"a.yaml": OPEN, "b.yaml": OPEN}, ("--file=a.yaml", "--file=b.yaml"), {}, None),
        ({"compose.yaml": OTHER, "a.yaml": WEB}, (), {"COMPOSE_FILE": "a.yaml"}, "a.yaml"),
        ({}, (), {}, None),
    ],
)
def test_the_file_of_a_service(
    tmp_path: Path,
    files: dict[str, str],
    words: tuple[str, ...],
    environment: dict[str, str],
    file: str | None,
) -> None:
    (here := tmp_path / "here").mkdir()
    for name, text in files.items():
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_text(text)
    argv = ("docker", "compose", *words, "up")
    target = Target("container", "web", argv, str(here), "0:0", service="web")
    assert file_of(target, environment) == file
