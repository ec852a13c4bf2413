"""The one door for files that users name."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from capadvise.model import input_file
from capadvise.model.errors import BadInput
from capadvise.model.input_file import content

COMMANDS = (
    "explain {0}",
    "review {0}",
    "check {0}",
    "check c.yaml --against {0}",
    "check c.yaml --exceptions {0}",
    "merge {0} {0}",
    "diff {0} {0}",
    "emit {0} --format compose",
    "import {0}",
    "import - < {0}",
    "check - < {0}",
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
    Path("file").write_bytes(b"x" * 100)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("pipe", "pipe: an empty pipe, which nobody writes to"),
        ("socket", "socket: a socket, which is not read as a file"),
        ("/dev/zero", "/dev/zero: a device"),
        ("/dev/ptmx", "/dev/ptmx: a device"),
    ],
)
def test_what_never_ends_is_refused_at_once(place: Path, path: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        content(path, 10)
    assert "into a file" in str(caught.value.hint)


def test_a_file_is_read_up_to_its_limit(place: Path) -> None:
    assert content("file", 200) == b"x" * 100
    with pytest.raises(BadInput, match="too large: the limit is 50 bytes"):
        content("file", 50)
    assert content("/dev/null", 10) == b""
    with pytest.raises(IsADirectoryError):
        content(place, 10)


def test_a_pipe_is_read_to_its_end(place: Path) -> None:
    writer = subprocess.Popen("(echo a; sleep 0.2; echo b) > pipe", shell=True)
    while not Path(f"/proc/{writer.pid}/fd").exists():
        pass
    threading.Event().wait(0.2)  # it waits for a reader now
    assert content("pipe", 10) == b"a\nb\n"
    writer.wait()
    ours, theirs = os.pipe()
    os.write(theirs, b"c")
    os.close(theirs)
    assert content(f"/dev/fd/{ours}", 10) == b"c"
    os.close(ours)


@pytest.mark.parametrize("by_path", [True, False])
def test_a_pipe_that_says_nothing_is_left(by_path: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_file, "PATIENCE", 0.1)
    ours, theirs = os.pipe()
    os.write(theirs, b"first")
    with pytest.raises(BadInput, match="it has not ended, and nothing came for 0 s"):
        content(f"/dev/fd/{ours}" if by_path else ours, 10)
    os.close(ours)
    os.close(theirs)


def test_a_descriptor_is_not_changed_and_stays_open(place: Path) -> None:
    """It is standard input, which others share."""
    ours, theirs = os.pipe()
    os.write(theirs, b"x")
    os.close(theirs)
    assert content(ours, 10) == b"x"
    assert os.get_blocking(ours)
    os.close(ours)


@pytest.mark.parametrize("path", ["pipe", "/dev/zero"])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_waits_for_ever(command: str, path: str, place: Path) -> None:
    Path("c.yaml").write_text("services: {a: {cap_drop: [ALL]}}\n")
    line = command.format(path)
    if "< pipe" in line:
        line = f"{line.replace('< pipe', '')} < <(:)"
    program = Path(sys.executable).with_name("capadvise")
    done = subprocess.run(
        ["bash", "-c", f"{program} {line}"], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 2
    assert done.stderr.startswith("capadvise: error: ")
    assert "Traceback" not in done.stderr
