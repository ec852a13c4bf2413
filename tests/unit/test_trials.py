"""What a trial puts into files."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest

from capadvise.linux.engines.record.trial import _Copies
from capadvise.linux.supervise.health_check import Checker
from capadvise.linux.trials import runner
from capadvise.linux.trials.sandbox import end_of
from capadvise.workload import Workload


@pytest.mark.skipif(os.geteuid() != 0, reason="a copy has the owners of what is copied")
def test_a_volume_is_copied_with_what_has_no_content(tmp_path: Path) -> None:
    """Of a daemon that was stopped, its socket stays; a pipe would be read for ever."""
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "data").write_text("kept")
    os.mkfifo(volume / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(volume / "daemon.sock"))
    (tmp_path / "top").mkdir()
    copy = Path(_Copies(tmp_path / "top")(str(volume)))
    assert (copy / "data").read_text() == "kept"
    assert stat.S_ISSOCK((copy / "daemon.sock").stat().st_mode)
    assert (copy / "pipe").stat().st_mode == (volume / "pipe").stat().st_mode


def test_nobody_else_can_read_the_environment_of_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder can be entered by all: the target may run as another user."""
    job = runner.Job(("true",), Workload(), "command", cwd="/")
    modes: dict[str, int] = {}

    class Looked(runner.Stop):
        def start(self, command: list[str]) -> subprocess.Popen[bytes]:
            for path in command[-2:]:
                modes[Path(path).name] = stat.S_IMODE(os.stat(path).st_mode)
            return super().start(["true"])

    with pytest.raises(runner.BrokenTrial, match="without a result"):
        runner.run(job, frozenset(), Looked())
    assert modes == {"plan.json": 0o600, "result.json": 0o600}


def test_of_endless_output_the_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    path.touch()
    os.truncate(path, 1 << 42)
    with path.open("ab") as file:
        file.write("ready \xe9\n".encode())
    assert end_of(path, 9) == "ready \xe9\n"


def test_a_check_that_may_not_be_killed_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ordinary user's, that has become root."""

    def refuse(group: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "killpg", refuse)
    checker = Checker("exec sleep 0.3", (), limit=0.1)
    while (passed := checker.poll(None, list)) is None:
        time.sleep(0.01)
    assert not passed
