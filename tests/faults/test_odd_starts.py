"""Started without streams, descriptors or memory: the right result, or one line that says why."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.faults.aftermath import sound
from tests.support.runs import CAPADVISE

LISTING = "exec 9>{}; for fd in 0 1 2 3 4 5 6 7 8; do [ -e /proc/$$/fd/$fd ] && echo $fd >&9; done"


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "f").touch()
    return subprocess.run(
        ["bash", "-c", script, "bash", CAPADVISE],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "XDG_STATE_HOME": str(folder / "state")},
    )


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", "<&-", ">&-", "2>&-", "<&- 2>&-"])
def test_standard_streams_are_closed(closed: str, tmp_path: Path) -> None:
    """The target has them closed, too."""
    target = f"{LISTING.format('with')}; chown 1 f; exit 7"
    (tmp_path / "target").write_text(target)
    (tmp_path / "native").write_text(LISTING.format("without"))
    done = shell(f'("$1" run -q -o r.json -- sh target {closed})', tmp_path)
    assert done.returncode == 7
    shell(f"(sh native {closed})", tmp_path)
    assert (tmp_path / "with").read_text() == (tmp_path / "without").read_text()
    report = sound(tmp_path / "r.json")
    assert report is not None
    assert [cap.short for cap in report.proposal.recommended] == ["CHOWN"]


@pytest.mark.parametrize(("kind", "given"), [("n", 12), ("v", 60000)])
def test_limits_that_may_be_raised_are_and_the_target_has_them(
    kind: str, given: int, tmp_path: Path
) -> None:
    target = f"ulimit -S -{kind} > given; chown 1 f; exit 7"
    done = shell(f'ulimit -S -{kind} {given}; "$1" run -q -o r.json -- sh -c "{target}"', tmp_path)
    assert done.returncode == 7, done.stderr
    assert int((tmp_path / "given").read_text()) == given
    assert sound(tmp_path / "r.json")


@pytest.mark.parametrize(
    "limit",
    [*(f"-n {count}" for count in range(7, 24, 2)), *(f"-v {kb}000" for kb in (60, 100, 200, 400))],
)
def test_limits_that_may_not_be_raised(limit: str, tmp_path: Path) -> None:
    """As root with CAP_SYS_RESOURCE they may."""
    drop = "setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource"
    run = '"$1" run --no-tui -o r.json -- sh -c "chown 1 f; exit 7"'
    done = shell(f"ulimit {limit}; exec {drop} {run}", tmp_path)
    assert "Traceback" not in done.stderr
    if done.returncode == 7:
        assert sound(tmp_path / "r.json")
    else:
        assert done.returncode in (2, 3, 126, 127), done.stderr
        assert "error" in done.stderr


WORKLOAD = """
name: writes
setup: "head -c 1M /dev/zero > $W/large"
command: [chown, "1", large]
"""
TMP_IS_FULL = """
mount --make-rprivate /
touch f
"$1" run -q -o first.json -- sh -c "chown 1 f"
mount -t tmpfs -o size=64k full /tmp
"$1" prove w.yaml -o w.json >/dev/null 2>said
echo $?
head -c 1M /dev/zero > /tmp/fill
"$1" prove first.json -o proven.json >/dev/null 2>&1
echo $?
"$1" run -q -o again.json -- sh -c "chown 1 f; exit 7"
echo $?
ls -A /tmp
"""


def test_tmp_is_full() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        (folder / "w.yaml").write_text(WORKLOAD)
        done = subprocess.run(
            ["unshare", "--mount", "bash", "-c", TMP_IS_FULL, "bash", CAPADVISE],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        said = (folder / "said").read_text()
        assert done.stdout.split() == ["1", "0", "7", "fill"], done.stderr + said
        assert "Traceback" not in said + done.stderr
        assert "writes: setup failed" in said
        for report in ("proven.json", "again.json"):
            assert sound(folder / report)
