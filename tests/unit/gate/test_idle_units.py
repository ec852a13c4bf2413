"""Units that run nothing themselves are read, and no finding says that they start as root."""

from __future__ import annotations

from pathlib import Path

import pytest

from capadvise.cli import main

SOCKET = "[Unit]\nDescription=x\n[Socket]\nListenStream=/run/x/x.sock\nSocketMode=0660\n"
IDLE = {
    "a.socket": SOCKET,
    "user.socket": SOCKET + "User=web\n",
    "a@.socket": SOCKET + "Accept=yes\n",
    "a.timer": "[Timer]\nOnCalendar=daily\nUnit=b.service\n",
    "a.path": "[Path]\nPathExists=/run/x\n",
    "a.target": "[Unit]\nDescription=x\nRequires=b.service\n",
    "a.slice": "[Slice]\nMemoryMax=1G\n",
    "a.automount": "[Automount]\nWhere=/x\n",
    "a.timer.d/b.conf": "[Timer]\nOnCalendar=weekly\n",
    "target.d/b.conf": "[Unit]\nWants=x.service\n",
    "a.socket.d/b.conf": "[Socket]\nBacklog=3\n",
}


@pytest.mark.parametrize("file", IDLE)
def test_they_pass(file: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(IDLE[file])
    assert main(["check", "--strict", str(path)]) == 0


def test_those_of_this_machine_pass(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = ("socket", "timer", "path", "target", "slice", "automount")
    folder = Path("/usr/lib/systemd/system")
    for path in (each for kind in kinds for each in folder.glob(f"*.{kind}")):
        if "\nExec" not in path.read_text():
            assert main(["check", "--strict", str(path)]) == 0, capsys.readouterr()


@pytest.mark.parametrize("key", ["ExecStartPre", "ExecStartPost", "ExecStopPost"])
def test_a_socket_with_a_command_is_judged(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.socket"
    path.write_text(f"{SOCKET}{key}=/bin/true\n")
    assert main(["check", "--strict", str(path)]) == 1
    assert "no-drop-all" in capsys.readouterr().out
    path.write_text(SOCKET)
    (tmp_path / "a.socket.d").mkdir()
    (tmp_path / "a.socket.d/b.conf").write_text(f"[Socket]\n{key}=/bin/true\n")
    assert main(["check", "--strict", str(tmp_path)]) == 1


def test_what_is_no_unit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.timer"
    path.write_text("services: {}\n")
    assert main(["check", str(path)]) == 2
