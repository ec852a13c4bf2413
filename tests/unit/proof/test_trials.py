"""What a trial puts into files."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from capadvise.kernel import procfs
from capadvise.kernel.folders import changed_since, keep, restore
from capadvise.kernel.own_programs import own_program
from capadvise.model.errors import BadInput
from capadvise.model.workload import Workload
from capadvise.observe.supervise.health_check import Checker
from capadvise.proof.trials import runner, sandbox
from capadvise.proof.trials.left import left_by, own_folder
from capadvise.proof.trials.sandbox import end_of
from capadvise.proof.trials.stages import Stage, Stages
from capadvise.proof.trials.stop import Stop


def _entries(folder: Path) -> list[tuple[str, str]]:
    return left_by([own_folder(str(folder), str(folder))], folder, 0).files


@pytest.mark.skipif(os.geteuid() != 0, reason="what is kept has owners")
def test_a_folder_is_what_it_was_when_it_was_kept(tmp_path: Path) -> None:
    folder, store = tmp_path / "folder", tmp_path / "store"
    folder.mkdir()
    (folder / "sub").mkdir()
    (folder / "sub" / "data").write_text("kept")
    (folder / "gone").write_text("kept, too")
    (folder / "link").symlink_to("sub/data")
    os.mkfifo(folder / "pipe")
    before = _entries(folder)
    assert keep(str(folder), store)
    (folder / "sub" / "data").write_text("changed")
    (folder / "gone").unlink()
    (folder / "link").unlink()
    (folder / "new").mkdir(mode=0o700)
    (folder / "new" / "file").touch()
    os.chown(folder / "sub", 5, 5)
    os.chmod(folder, 0o700)
    restore(str(folder), store)
    assert _entries(folder) == before
    assert (folder / "link").read_text() == "kept"
    assert (folder / "gone").read_text() == "kept, too"


def test_of_a_file_that_is_too_large_to_be_kept_owner_and_mode_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capadvise.kernel.folders.MOST_CONTENT", 3)
    folder, store = tmp_path / "folder", tmp_path / "store"
    folder.mkdir()
    (folder / "large").write_text("four")
    mode = (folder / "large").stat().st_mode
    assert keep(str(folder), store)
    assert changed_since(str(folder), store) == []
    (folder / "large").write_text("other")
    (folder / "large").chmod(0o400)
    assert changed_since(str(folder), store) == [str(folder / "large")]
    restore(str(folder), store)
    assert ((folder / "large").read_text(), (folder / "large").stat().st_mode) == ("other", mode)


def test_the_environment_of_a_trial_is_in_no_file_and_no_argument() -> None:
    """The folder can be entered by all: the target may run as another user."""
    job = runner.Job(("true",), Workload(), "command", cwd="/")

    class Looked(Stop):
        def start(self) -> Stage:
            stage = super().start()
            words = procfs.arguments(stage.pid)
            assert list(words[:-1]) == own_program("capadvise.proof.trials.sandbox")
            assert words[-1].isdecimal()  # a descriptor
            stage.kill()
            return stage

    with pytest.raises(runner.BrokenTrial, match="without a result"), Looked() as stop:
        runner.run_once(job, frozenset(), stop)
    assert not list(Path("/tmp").glob(f"capadvise-trial-{procfs.mark()}-*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's files would be in the way")
def test_no_file_of_a_trial_holds_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its target looks for what it was given itself."""
    monkeypatch.setenv("SECRET", secret := f"secret-{os.urandom(8).hex()}")
    place = f"/tmp/capadvise-trial-{procfs.mark()}-*"
    looks = ("sh", "-c", f'test -n "$SECRET" && ls -d {place} && ! grep -r "$SECRET" {place}')
    job = runner.Job(looks, Workload(), "none", cwd="/", observed=False)
    with Stop() as stop:
        outcome, evidence = runner.run_once(job, runner.everything(job), stop)
    assert outcome.passed, evidence.output
    assert secret not in evidence.output
    assert "$TRIAL" in evidence.output  # as its folder is called there


@pytest.mark.parametrize("told", [False, True], ids=["before it was told", "after"])
def test_a_stage_whose_prover_is_gone_leaves_nothing(told: bool, tmp_path: Path) -> None:
    """It may have died before the stage could ask to be told of its death."""
    job = runner.Job(("touch", str(tmp_path / "ran")), Workload(), "none", cwd=str(tmp_path))
    plan = json.dumps(runner._plan(job, frozenset(), tmp_path / "top") | {"tells": False})
    ours, theirs = socket.socketpair()
    ours.sendall(plan.encode() + b"\n" if told else b"")
    ours.shutdown(socket.SHUT_WR)
    pid = os.fork()
    if pid == 0:
        try:
            sandbox.stage(theirs.fileno(), 1 << 22)  # no pid is as high
        finally:
            os._exit(0)
    theirs.close()
    os.waitpid(pid, 0)
    assert ours.makefile("rb").read() == b"%d\n" % pid
    assert list(tmp_path.iterdir()) == []
    ours.close()


def test_of_endless_output_the_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    path.touch()
    os.truncate(path, 1 << 42)
    with path.open("ab") as file:
        file.write("ready \xe9\n".encode())
    assert end_of(path, 9) == "ready \xe9\n"


def test_a_check_that_may_not_be_killed_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ordinary user's, that has become root."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def refuse(group: int, number: int) -> None:
        pipe.open("w").close()  # now it ends by itself
        raise PermissionError

    monkeypatch.setattr(os, "killpg", refuse)
    checker = Checker(f"exec cat {pipe}", (), limit=0.01)
    while (passed := checker.poll(None, list)) is None:
        time.sleep(0.01)
    assert not passed


def test_what_trials_are_made_by_can_begin_while_signals_are_blocked() -> None:
    """As they are during a recording: a trial must be told to end all the same."""
    blocked = {signal.SIGTERM, signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    stages = Stages()
    try:
        stages.begin()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        stage = stages.open()
        status = Path(f"/proc/{stage.pid}/status").read_text()
        (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigBlk"))
        assert int(mask, 16) == 0
        stage.kill()
    finally:
        stages.close()


def test_a_file_whose_content_cannot_be_kept_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, or a file that even root may not read: it was removed before each trial."""

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (folder := tmp_path / "folder").mkdir()
    (folder / "file").write_text("x")
    monkeypatch.setattr("shutil.copyfileobj", no_room)
    monkeypatch.setattr("capadvise.kernel.folders.ioctl", no_room)
    assert keep(str(folder), tmp_path / "store")
    restore(str(folder), tmp_path / "store")
    assert (folder / "file").read_text() == "x"


def test_a_folder_that_is_gone_cannot_be_kept(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be kept as it is now"):
        keep(str(tmp_path / "gone"), tmp_path / "store")
