"""Started without streams, descriptors or memory: the right result, or one line that says why."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from capadvise.kernel.odd_start import NEEDED_DESCRIPTORS
from tests.faults.aftermath import sound
from tests.support.runs import CAPADVISE
from tests.support.wait import until

ROOT = Path(__file__).parents[2]
MOUNTS = Path("/proc/self/mounts")

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


UNDER = "exec setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource"
"""As root with CAP_SYS_RESOURCE, limits may be raised."""
RUN = '"$1" run --no-tui -o r.json -- sh -c "chown 1 f; exit 7"'


def right_or_one_line(script: str, folder: Path) -> bool:
    """Whether it ran, and saw all; else one line says why not, and another what to do."""
    done = shell(script, folder)
    if done.returncode == 7:
        report = sound(folder / "r.json")
        assert report is not None
        assert [cap.short for cap in report.proposal.recommended] == ["CHOWN"]
        return True
    assert done.returncode in (2, 3, 126, 127), done.stderr
    said = "capadvise: error: [^\n]+\ncapadvise: hint: raise [^\n]+\n"
    assert re.fullmatch(said, done.stderr), done.stderr
    return False


def test_few_descriptors(rounds: int, tmp_path: Path) -> None:
    """Below five, Python itself does not start."""
    for count in range(5, 41):
        for _ in range(rounds):
            right_or_one_line(f"ulimit -n {count}; {UNDER} {RUN}", tmp_path)
    assert not right_or_one_line(f"ulimit -n 16; {UNDER} {RUN}", tmp_path)
    assert right_or_one_line(f"ulimit -n {NEEDED_DESCRIPTORS + 8}; {UNDER} {RUN}", tmp_path)


@pytest.mark.parametrize("megabytes", [24, 40, 60, 100, 200, 400, 700, 900])
def test_little_memory(megabytes: int, rounds: int, tmp_path: Path) -> None:
    for _ in range(rounds):
        ran = right_or_one_line(f"ulimit -v {megabytes}000; {UNDER} {RUN}", tmp_path)
        assert ran == (megabytes > 800)


@pytest.fixture
def few_processes() -> Iterator[Path]:
    """A control group that limits how many there are."""
    place = next(line.split()[1] for line in MOUNTS.read_text().splitlines() if _counts(line))
    folder = Path(place) / f"few-{os.getpid()}"
    folder.mkdir()
    yield folder
    until(lambda: not (folder / "cgroup.procs").read_text())
    folder.rmdir()


def _counts(line: str) -> bool:
    kind, options = line.split()[2:4]
    return (kind == "cgroup" and "pids" in options.split(",")) or (
        kind == "cgroup2" and "pids" in (Path(line.split()[1]) / "cgroup.controllers").read_text()
    )


def test_few_processes(few_processes: Path, rounds: int, tmp_path: Path) -> None:
    for count in (*range(2, 13), 30):
        (few_processes / "pids.max").write_text(f"{count}")
        for _ in range(rounds):
            ran = right_or_one_line(f"echo $$ >{few_processes}/cgroup.procs; {RUN}", tmp_path)
    assert ran


WORKLOAD = """
name: writes
setup: "touch f; head -c 1M /dev/zero > /tmp/large"
command: [chown, "1", f]
"""
TMP_IS_FULL = """
mount --make-rprivate /
touch f
"$1" run -q -o first.json -- sh -c "chown 1 f"
exec 8<"$2" # this may be below /tmp itself
mount -t tmpfs -o size=64k full /tmp
mkdir -p "$2" && mount --no-canonicalize --bind /proc/self/fd/8 "$2"
"$1" prove w.yaml -o w.json >/dev/null 2>said
echo $?
head -c 1M /dev/zero > /tmp/fill
"$1" prove first.json -o proven.json >/dev/null 2>&1
echo $?
"$1" run -q -o again.json -- sh -c "chown 1 f; exit 7"
echo $?
ls -A /tmp | grep -vxF "$(echo "$2" | cut -d/ -f3)"
"""


def test_tmp_is_full() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        (folder / "w.yaml").write_text(WORKLOAD)
        done = subprocess.run(
            ["unshare", "--mount", "bash", "-c", TMP_IS_FULL, "bash", CAPADVISE, str(ROOT)],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        said = (folder / "said").read_text()
        assert done.stdout.split() == ["1", "1", "7", "fill"], done.stderr + said
        assert "Traceback" not in said + done.stderr
        assert "writes: setup failed" in said
        for report in ("proven.json", "again.json"):
            assert sound(folder / report)
