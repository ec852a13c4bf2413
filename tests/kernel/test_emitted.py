"""What is emitted was tried: the printed command line does the same work as the program did with
every capability, again and again."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.required import tool
from tests.support.runs import CAPADVISE, Run

DAEMON = pwd.getpwnam("daemon").pw_uid
AS_NOBODY = "setpriv --reuid 65534 --clear-groups"
SET_ID = "no_new_privs left out: a trial with it"
GAINS = "no_new_privs left out: it runs a set-id program, or one with file capabilities"
TRIED = "--no-new-privs"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """``sub/s``: a set-id chown; ``sub/capable``: one with the file capability; ``sub/f``."""
    sub = tmp_path / "w" / "sub"
    sub.mkdir(parents=True)
    tmp_path.chmod(0o755)
    for name in ("s", "capable"):
        shutil.copy(tool("chown"), sub / name)
    (sub / "s").chmod(0o4755)
    subprocess.run([tool("setcap"), "cap_chown=ep", sub / "capable"], check=True)
    (sub / "link").symlink_to("s")
    (sub / "f").touch()
    return sub


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("chown daemon sub/f", TRIED),
        (f"cd sub && exec {AS_NOBODY} ./s daemon f", SET_ID),
        (f"cd sub && {AS_NOBODY} ./s daemon f 2>/dev/null || :", SET_ID),
        pytest.param(f"cd sub && {AS_NOBODY} ./link daemon f", SET_ID, marks=pytest.mark.long),
        pytest.param(
            f"cd sub && PATH=.:$PATH {AS_NOBODY} s daemon f", SET_ID, marks=pytest.mark.long
        ),
        pytest.param(
            f"cp -p sub/s t && {AS_NOBODY} ./t daemon sub/f && rm t", SET_ID, marks=pytest.mark.long
        ),
        (f"cd sub && {AS_NOBODY} ./capable daemon f; sleep 0.2", None),  # it had it before
        pytest.param(
            f"{AS_NOBODY} $PWD/sub/s daemon sub/f; sleep 0.2", GAINS,
            marks=pytest.mark.long,
        ),
        pytest.param(
            f"chown daemon sub/f && {AS_NOBODY} true", TRIED, marks=pytest.mark.long
        ),
        pytest.param(
            "chown daemon sub/f && mount -t tmpfs x sub/.. && umount sub/..", GAINS,
            marks=pytest.mark.long,
        ),
    ],
)  # fmt: skip
def test_a_command_line_that_is_emitted_works(
    run: Run, work: Path, script: str, said: str | None
) -> None:
    result = run("sh", "-c", script, options=("--prove",))
    assert result.code == 0, result.stderr
    report = work.parent.parent / "report.json"
    emitted = subprocess.run(
        [CAPADVISE, "emit", str(report), "--format", "setpriv"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    companions = json.loads(report.read_text())["conclusion"]["companions"]
    if said is not None:
        assert " ".join(said.split()) in " ".join(emitted.replace("#", "").split()), emitted
        assert companions["no_new_privs"] == ("tried" if said == TRIED else "left-out")
    for _ in range(2):
        os.chown(work / "f", 0, 0)
        done = subprocess.run(
            ["sh", "-c", emitted], cwd=work.parent, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert (work / "f").stat().st_uid == DAEMON
