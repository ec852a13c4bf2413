"""Folders of ours, and the end of the process that has them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from capadvise.kernel.scratch import scratch
from tests.support.wait import until

HOLDER = """
import sys, time
from pathlib import Path
from capadvise.kernel.scratch import scratch
with scratch(Path(sys.argv[1])) as folder:
    (folder / "kept").write_text("secret")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_a_folder_is_removed_at_the_end(tmp_path: Path) -> None:
    with scratch(tmp_path) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "f").touch()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_of_a_process_that_is_killed(
    number: signal.Signals, tmp_path: Path
) -> None:
    words = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert Path(holder.stdout.readline().strip()).is_dir()
        holder.send_signal(number)
        until(lambda: not list(tmp_path.iterdir()))


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), scratch(tmp_path / "gone"):
        pass
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
