"""Kernel tests run real programs under real tracing. They are not skipped in CI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from capadvise.errors import CannotObserve
from capadvise.linux.ftrace.instances import require

CAPADVISE = str(Path(sys.executable).with_name("capadvise"))
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    need_kernel([item for item in items if HERE in item.path.parents])


def need_kernel(items: list[pytest.Item]) -> None:
    """Mark tests that trace this kernel; where it cannot be traced, skip them, or fail."""
    if not items:
        return
    try:
        require()
    except CannotObserve as error:
        reason = f"{error} ({error.hint})"
        if os.environ.get("CAPADVISE_REQUIRE_KERNEL"):
            pytest.exit(f"kernel tests are required here, but: {reason}", 1)
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))
    for item in items:
        item.add_marker(pytest.mark.kernel)


@dataclass(frozen=True)
class Result:
    """One `capadvise run`."""

    code: int
    stdout: str
    stderr: str
    report: dict[str, Any]

    @property
    def recommended(self) -> set[str]:
        return set(self.report["proposal"]["cap_add"])

    def need(self, name: str) -> dict[str, Any] | None:
        return next((n for n in self.report["needs"] if n["cap"] == f"CAP_{name}"), None)


Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command under capadvise, in ``tmp_path/w``; with ``net`` in a network of its own."""

    def runner(
        *argv: str, options: tuple[str, ...] = (), net: str | None = None, **popen: Any
    ) -> Result:
        report = tmp_path / "report.json"
        work = tmp_path / "w"
        work.mkdir(exist_ok=True)
        command = [CAPADVISE, "run", "-o", str(report), *options, "--", *argv]
        if net is not None:
            script = f'set -e; ip link set lo up; {net}; exec "$@"'
            command = ["unshare", "--net", "sh", "-c", script, "sh", *command]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, cwd=work, **popen
        )
        content = json.loads(report.read_text()) if report.exists() else {}
        return Result(done.returncode, done.stdout, done.stderr, content)

    return runner


OTHER = 65534
AS_NOBODY = """
set -e
mount --make-rprivate /
hidden=$1 subids=$2 work=$3
shift 3
# The interpreter may lie below a home that only root can enter: show that part alone.
if [ -n "$hidden" ]; then
    mount --bind "$hidden" /mnt
    top=/$(echo "$hidden" | cut -d/ -f2)
    mount -t tmpfs -o mode=755 none "$top"
    mkdir -p "$hidden"
    mount --move /mnt "$hidden"
fi
mount -t tmpfs -o mode=755 none /mnt
[ -z "$subids" ] || echo "nobody:$subids" > /mnt/ids
touch /mnt/ids
for file in /etc/subuid /etc/subgid; do
    [ -e "$file" ] && mount --bind /mnt/ids "$file"
done
cd "$work"
exec setpriv --reuid nobody --regid nogroup --clear-groups env HOME="$work" "$@"
"""


@dataclass(frozen=True)
class Nobody:
    """An ordinary user, in a folder of their own."""

    work: Path
    hidden: str

    def capadvise(self, *argv: str, subids: str) -> subprocess.CompletedProcess[str]:
        """``subids``: ``first:count``, or nothing."""
        before = ["unshare", "-m", "bash", "-c", AS_NOBODY, "-", self.hidden, subids]
        return subprocess.run(
            [*before, str(self.work), CAPADVISE, *argv], capture_output=True, text=True, timeout=60
        )


@pytest.fixture
def nobody(tmp_path: Path) -> Nobody:
    base = Path(sys.executable).resolve().parents[1]
    top = Path("/", base.parts[1])
    work = tmp_path / "nobody"
    work.mkdir()
    for folder in (work, *list(work.parents)[:4]):
        if str(folder) != "/tmp":
            folder.chmod(folder.stat().st_mode | 0o055)
    os.chown(work, OTHER, OTHER)
    return Nobody(work, str(base) if top.stat().st_mode & 0o5 != 0o5 else "")
