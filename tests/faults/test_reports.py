"""A recording is never lost, and a report goes nowhere that another user chose."""

from __future__ import annotations

import base64
import json
import lzma
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.aftermath import sound
from tests.support.runs import CAPADVISE

NOBODY = 65534
TARGET = ("sh", "-c", "chown 1 f; exit 7")


def run(
    folder: Path, *options: str, limit: str = ":", **more: str
) -> subprocess.CompletedProcess[str]:
    """A run of a target that needs CHOWN and exits with 7."""
    (folder / "f").touch()
    words = ["bash", "-c", f'{limit}; exec "$@"', "bash", CAPADVISE, "run", *options, "--", *TARGET]
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), **more}
    return subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )


def assert_answered(done: subprocess.CompletedProcess[str]) -> None:
    """The exit status is the target's, and the answer is printed."""
    assert done.returncode == 7, done.stderr
    assert "CHOWN" in done.stderr
    assert "Traceback" not in done.stderr


def the_report(folder: Path) -> Path:
    (path,) = folder.glob("*.json")
    return path


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk that has no space left."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "disk", place], check=True)
    with (place / "fill").open("wb") as file, pytest.raises(OSError, match="space"):
        file.write(bytes(1 << 20))
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk(disk: Path, tmp_path: Path) -> None:
    done = run(tmp_path, "-o", str(disk / "r.json"))
    assert_answered(done)
    assert "No space left on device" in done.stderr
    report = the_report(tmp_path / "state" / "capadvise")
    assert sound(report)
    assert f"the report is in {report}" in done.stderr
    assert [path.name for path in disk.iterdir()] == ["fill"]


def test_a_folder_that_vanishes(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "f").touch()
    script = "chown 1 f; rmdir out; ln -s /proc/nothing out; exit 7"
    done = subprocess.run(
        [CAPADVISE, "run", "-o", "out/r.json", "--", "sh", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")},
        capture_output=True,
        text=True,
    )
    assert_answered(done)
    assert sound(the_report(tmp_path / "state" / "capadvise"))


@pytest.mark.parametrize("json_too", [False, True])
def test_a_state_folder_that_cannot_be_made(json_too: bool, tmp_path: Path) -> None:
    done = run(tmp_path, *["--json"] * json_too, XDG_STATE_HOME="/proc/nothing")
    assert_answered(done)
    (line,) = (line for line in done.stderr.splitlines() if "the report is in /tmp/" in line)
    report = Path(line.partition(" is in ")[2])
    assert sound(report)
    report.unlink()
    if json_too:
        assert json.loads(done.stdout)["proposal"]["cap_add"] == ["CHOWN"]


def test_files_may_have_no_size_at_all(tmp_path: Path) -> None:
    done = run(tmp_path, "-o", "r.json", limit="ulimit -f 0")
    assert_answered(done)
    assert "the report is not saved" in done.stderr
    assert not list(tmp_path.glob("**/*.json"))
    done = run(tmp_path, "-o", "r.json", limit="ulimit -f 0", CAPADVISE_RESCUE="stderr")
    assert_answered(done)
    packed = done.stderr.partition("xz -d:\n")[2].partition("\n\n")[0]
    raw: Any = json.loads(lzma.decompress(base64.b64decode(packed)))
    assert raw["proposal"]["cap_add"] == ["CHOWN"]


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder as /tmp is, and in it a link of nobody's to a file of root's, and a folder."""
    tmp_path.chmod(0o755)
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    (tmp_path / "precious").write_text("root's")
    (tmp_path / "private").mkdir()
    for name, target in (("r.json", "precious"), ("into", "private")):
        (folder / name).symlink_to(tmp_path / target)
        os.lchown(folder / name, NOBODY, NOBODY)
    (folder / "own.json").symlink_to(tmp_path / "ours.json")
    (folder / "theirs.json").write_text("{}")
    os.chown(folder / "theirs.json", NOBODY, NOBODY)
    return folder


@pytest.mark.parametrize("name", ["r.json", "into/r.json", "theirs.json"])
@pytest.mark.parametrize("command", ["run", "merge", "prove"])
def test_a_link_that_another_user_planted_is_not_followed(
    command: str, name: str, shared: Path, tmp_path: Path
) -> None:
    given = tmp_path / "given.json"
    (tmp_path / "f").touch()
    chown = ["chown", "1", str(tmp_path / "f")]
    subprocess.run([CAPADVISE, "run", "-q", "-o", str(given), "--", *chown], check=True)
    output = str(shared / name)
    words = {
        "run": ["run", "-o", output, "--", "true"],
        "merge": ["merge", str(given), str(given), "-o", output],
        "prove": ["prove", str(given), "-o", output],
    }
    environment = {**os.environ, "SUDO_UID": "1000", "SUDO_GID": "1000"}
    environment["XDG_STATE_HOME"] = str(tmp_path / "state")
    done = subprocess.run(
        [CAPADVISE, *words[command]], env=environment, capture_output=True, text=True, timeout=60
    )
    assert "another user" in done.stderr
    assert done.returncode == 2, done.stderr
    assert (tmp_path / "precious").read_text() == "root's"
    assert not list((tmp_path / "private").iterdir())
    assert (shared / "theirs.json").read_text() == "{}"


def test_a_planted_link_is_not_patched(shared: Path, tmp_path: Path) -> None:
    given, precious = tmp_path / "given.json", tmp_path / "precious"
    precious.write_text("services:\n  web:\n    image: i\n")
    assert run(tmp_path, "-q", "-o", str(given)).returncode == 7
    words = ["--format", "compose", "--into", str(shared / "r.json"), "--service", "web"]
    done = subprocess.run(
        [CAPADVISE, "emit", str(given), *words], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2, done.stderr + done.stdout
    assert "another user" in done.stderr
    assert "cap_drop" not in precious.read_text()


def test_a_link_of_ones_own_is_followed(shared: Path, tmp_path: Path) -> None:
    assert run(tmp_path, "-q", "-o", str(shared / "own.json")).returncode == 7
    assert (shared / "own.json").is_symlink()
    assert sound(tmp_path / "ours.json")
