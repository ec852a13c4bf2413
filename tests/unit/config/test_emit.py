"""``capadvise emit``: to stdout, to a file, and without loading what the format does not need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from capadvise.catalog import default
from capadvise.cli import main
from capadvise.report.pages import FORMATS, PAGES
from capadvise.report.save import save
from tests.support.recordings import report


@pytest.fixture
def saved(tmp_path: Path) -> str:
    path = tmp_path / "r.json"
    save(path, report(), default())
    return str(path)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_can_be_asked_for(
    name: str, saved: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "setcap":  # the report's set has NET_ADMIN, which nobody may give to every user
        assert main(["emit", saved, "--format", name]) == 2
        assert "setcap is refused: every user who starts" in capsys.readouterr().err
        return
    assert main(["emit", saved, "--format", name]) == 0
    captured = capsys.readouterr()
    assert "recommended" in captured.out
    assert captured.out.endswith("\n")
    notes = captured.err.splitlines()
    assert len(notes) == 3
    assert all(line.startswith("capadvise: note: ") for line in notes)


def test_what_the_recording_missed_is_said_on_the_terminal_and_not_in_the_file(
    saved: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file outlives the recording; its reader cannot do anything about lost events."""
    main(["emit", saved, "--format", "compose"])
    captured = capsys.readouterr()
    assert "its absence is unconfirmed" in captured.err
    assert "its absence is unconfirmed" not in captured.out
    assert "NET_BIND_SERVICE # nginx: binding an IPv4 port" in captured.out


def test_a_file_gets_the_same_text(
    saved: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "caps.yaml"
    path.write_text("old")
    assert main(["emit", saved, "--format", "compose", "-o", str(path)]) == 0
    assert capsys.readouterr().out == ""
    assert main(["emit", saved, "--format", "compose"]) == 0
    assert path.read_text() == capsys.readouterr().out
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    assert sorted(place.name for place in tmp_path.iterdir()) == ["caps.yaml", "r.json"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--set", "minimal"], "it has no minimal set: no trials were made"),
        (["-o", "/proc/no/such/place"], "cannot write /proc/no/such/place"),
    ],
)
def test_what_cannot_be_emitted(
    options: list[str], said: str, saved: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["emit", saved, "--format", "compose", *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err


FORMATS_LOADED = """
import os, sys
from capadvise.cli import main
from capadvise.cli.commands import emit  # what all share is loaded once, before the forks
from capadvise.report.pages import FORMATS
modules = {kind.module for kind in FORMATS.values()} | {"yaml"}
for name in FORMATS:
    if os.fork() == 0:
        main(["emit", sys.argv[1], "--format", name])
        print("loaded", name, *sorted(modules & sys.modules.keys()), file=sys.stderr, flush=True)
        os._exit(0)
    os.wait()
"""


def test_a_format_is_all_that_is_loaded(saved: str) -> None:
    """An answer within 100 ms has no time for YAML, nor for the other languages. A page tells of
    risks, which are in the catalog's YAML."""
    argv = [sys.executable, "-c", FORMATS_LOADED, saved]
    done = subprocess.run(argv, capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("loaded ")]
    for name, line in zip(FORMATS, lines, strict=True):
        catalog = {"yaml"} if name in PAGES and PAGES[name].for_browser else set()
        assert {*line.split()} - catalog == {"loaded", name, FORMATS[name].module}
