"""What a trial left on disk is read from its own folders."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from capadvise.judgement.differences import CHANGED, CONTENT, ORIGINAL, REMOVED, SAME, SIZE, TIME
from capadvise.proof.trials import left
from capadvise.proof.trials.left import Left, OwnFolder, left_by, left_by_containers, own_folder
from capadvise.targets.client.container import parse_inspect
from capadvise.targets.image.ownership import MappedOwners, WrittenFolder


def _layers(tmp_path: Path) -> tuple[Path, Path, OwnFolder]:
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    upper.mkdir()
    lower.mkdir()
    return upper, lower, own_folder(str(upper), str(upper), os.open(lower, os.O_PATH))


def _texts(found: Left) -> dict[str, str]:
    return {path: text.partition(",")[2] for path, text in found.files}


def test_changes_are_told_from_what_was_there(tmp_path: Path) -> None:
    upper, lower, folder = _layers(tmp_path)
    for name in ("same", "longer", "other", "gone"):
        (lower / name).write_text("text")
        os.utime(lower / name, (1, 1))
    (lower / "folder").mkdir()
    (upper / "folder").mkdir()
    for name, text in (("same", "text"), ("longer", "longer"), ("other", "TEXT"), ("new", "x")):
        (upper / name).write_text(text)
    (upper / "folder" / "new").touch()
    os.mknod(upper / "gone", 0o020000, 0)  # a whiteout
    found = left_by([folder], tmp_path, time.time())
    same, changed = SAME.removeprefix(","), CHANGED.removeprefix(",")
    assert _texts(found) == {
        "upper/same": same,
        "upper/longer": changed,
        "upper/other": changed,
        "upper/new": "",
        "upper/gone": "",
        "upper/folder/new": "",
    }
    assert ("upper/gone", REMOVED) in found.files
    assert ("upper/longer", SIZE, "6") in found.details


def test_the_top_of_an_untouched_layer_is_no_change(tmp_path: Path) -> None:
    """Only a trial that changed nothing below it had it, as a change."""
    _, _, folder = _layers(tmp_path)
    assert left_by([folder], tmp_path, time.time()).files == []


def test_a_time_that_was_given_counts(tmp_path: Path) -> None:
    upper, _, folder = _layers(tmp_path)
    (upper / "old").touch()
    os.utime(upper / "old", (1_000_000_000, 1_000_000_000))
    (upper / "new").touch()
    details = {
        (path, name): value for path, name, value in left_by([folder], upper, time.time()).details
    }
    assert details["old", TIME] == "1000000000"
    assert details["new", TIME] == ""


@pytest.mark.parametrize("since", [0.5, 2.0], ids=["just-written", "before"])
def test_a_file_of_before_has_one_time_in_all_trials(since: float, tmp_path: Path) -> None:
    """A trial that begins within a second of the last write does not take it for its own."""
    upper, lower, folder = _layers(tmp_path)
    for place in (lower, upper):
        (place / "f").write_text("x")
        os.utime(place / "f", (1_000_000_000, 1_000_000_000))
    os.chmod(upper / "f", 0o600)
    assert ("f", TIME, "1000000000") in left_by([folder], upper, 1_000_000_000 + since).details


def test_the_end_of_a_large_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(left, "_LARGEST", 10)
    monkeypatch.setattr(left, "_PART", 4)
    monkeypatch.setattr(left, "_SHORT", 0)
    upper, _, folder = _layers(tmp_path)

    def content(text: str) -> list[str]:
        (upper / "f").write_text(text)
        found = left_by([folder], upper, time.time())
        return [value for path, name, value in found.details if (path, name) == ("f", CONTENT)]

    assert content("0123456789abcdef") == content("0123xxxxxxxxcdef") != content("0123456789abcdeF")


def test_a_fifo_does_not_block(tmp_path: Path) -> None:
    upper, _, folder = _layers(tmp_path)
    os.mkfifo(upper / "fifo")
    assert ("fifo", "kind", "a FIFO") in left_by([folder], upper, time.time()).details


def test_it_stops_after_many_files_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(left, "MOST_FILES", 30)
    upper, _, folder = _layers(tmp_path)
    for number in range(100):
        (upper / f"{number:03}").touch()
    found = left_by([folder], upper, time.time())
    assert len(found.files) == 30
    assert found.stopped == "after 30 changed files, at 029"


def test_the_working_directory_is_compared_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(left, "MOST_FILES", 3)
    for name in ("a", "w"):
        (tmp_path / name).mkdir()
        for number in range(9):
            (tmp_path / name / f"{number}").touch()
    places = [own_folder(str(tmp_path / name), str(tmp_path / name)) for name in ("a", "w")]
    found = left_by(places, tmp_path / "w", time.time())
    assert [path for path, _ in found.files][:3] == [".", "0", "1"]
    assert found.stopped == "after 3 changed files, at 1"


def test_it_stops_when_its_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(left, "_MOST_SECONDS", 0.0)
    (tmp_path / "f").touch()
    found = left_by([own_folder(str(tmp_path), str(tmp_path))], tmp_path, time.time())
    assert found.stopped.startswith("after 0 s, at ")


def test_a_containers_layer_is_told_from_those_of_its_image(tmp_path: Path) -> None:
    """A link of the image does not lead to files of the host, and a mount point is no file."""
    upper, top, base, volume = (tmp_path / name for name in ("upper", "top", "base", "volume"))
    for folder in (upper, top, base, volume):
        (folder / "data").mkdir(parents=True)
    (upper / "mount").mkdir()
    for name in ("same", "given", "old"):
        (base / "data" / name).write_text("text")
        os.utime(base / "data" / name, (1, 1))
        shutil.copy2(base / "data" / name, upper / "data")
    os.chown(upper / "data" / "given", 1005, 5)
    os.mknod(top / "data" / "old", 0o020000, 0)  # removed by a higher layer of the image
    os.mknod(upper / "data" / "gone", 0o020000, 0)
    (base / "link").symlink_to(base / "data")
    (upper / "link").mkdir()
    (upper / "link" / "same").write_text("text")
    (volume / "f").touch()
    described = {"Id": "1", "Name": "a", "Image": "i", "Config": {}, "State": {}}
    described["HostConfig"] = {"IDMappings": {"UidMap": ["0:1000:100"], "GidMap": ["0:0:100"]}}
    owners = MappedOwners(parse_inspect("podman", json.dumps([described]))[0], 0)
    layer = WrittenFolder("/", str(upper), str(upper), owners, [top, base])
    mounted = WrittenFolder("/mount", str(volume), str(volume), owners)
    copy = WrittenFolder("/etc/x", str(volume / "f"), str(volume / "f"), owners)
    found = left_by_containers([layer, mounted, copy], time.time())
    texts = dict(found.files)
    assert texts["/data/gone"] == REMOVED
    assert texts["/data/given"] == f"5:5 0644{ORIGINAL}"
    assert {path: text[text.find(",") :] for path, text in found.files if "," in text} == {
        "/data/same": SAME,
        "/data/given": ORIGINAL,
        "/link": ORIGINAL,
    }
    assert {"/data/old", "/link/same", "/mount/f", "/etc/x"} < {*texts}
    assert len(texts) == len(found.files)
