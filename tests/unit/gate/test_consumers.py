"""Features of the consumers that reach the host or the rights of others in ways of their own: none
passes ``check --strict``. Each is written against what its consumer does with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from capadvise.cli import main

FOLDER = Path(__file__).parents[2] / "data" / "hostile"
HOSTILE, NOTHING = (
    {
        (file, name): said
        for file, each in yaml.safe_load(path.read_text()).items()
        for name, said in each.items()
    }
    for path in (FOLDER / "consumers.yaml", FOLDER / "gives-nothing.yaml")
)


def strictly(file: str, text: str, folder: Path) -> int:
    (folder / file).parent.mkdir(exist_ok=True, parents=True)
    (folder / file).write_text(text)
    return main(["check", "--strict", str(folder / file)])


@pytest.mark.parametrize(("file", "name"), HOSTILE)
def test_none_passes(file: str, name: str, tmp_path: Path) -> None:
    assert strictly(file, HOSTILE[file, name], tmp_path) == 1


@pytest.mark.parametrize(("file", "name"), NOTHING)
def test_what_gives_nothing_passes(file: str, name: str, tmp_path: Path) -> None:
    assert strictly(file, NOTHING[file, name]["text"], tmp_path) == 0, NOTHING[file, name]["why"]
