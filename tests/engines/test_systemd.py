"""The systemd drop-in: systemd-analyze takes it, and a systemd of the test's own obeys it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from capadvise.config import LANGUAGES
from capadvise.config.snippet import Snippet
from capadvise.kernel.procfs import capability_sets
from capadvise.model.caps import NAMES, Cap, CapSet, parse_set
from tests.engines.launch import sets
from tests.support.cgroups import REMOVE_CGROUP
from tests.support.containers import call
from tests.support.recordings import snippet_with
from tests.support.required import missing, tool

NONE: CapSet = frozenset()
CHOWN = parse_set(["CHOWN"])
ALL = capability_sets().bounding
UNIT = """\
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
{user}
CapabilityBoundingSet=CAP_SYS_TIME
AmbientCapabilities=CAP_SYS_TIME
StandardOutput=file:{folder}/out
StandardError=file:{folder}/out
ExecStart=/bin/sh -c 'cat /proc/self/status; chown 5 {folder}/file && echo gave it away; echo end'
"""
SYSTEMD = "/usr/lib/systemd/systemd"
OWN_CGROUP = """\
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir /run/cgroup && mount -t cgroup2 cgroup2 /run/cgroup
mkdir /run/cgroup/$NAME && echo 0 > /run/cgroup/$NAME/cgroup.procs
exec unshare --cgroup sh -c '
  umount -l /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup && umount -l /run/cgroup
  exec "$@"' sh "$@"
"""


def _units(snippet: Snippet, folder: Path) -> Path:
    """A unit that says something else, and what was emitted beside it."""
    user = "" if snippet.root else f"User={snippet.ids[0]}"
    unit = folder / f"{snippet.name}.service"
    unit.write_text(UNIT.format(user=user, folder=folder))
    drop_ins = folder / f"{unit.name}.d"
    drop_ins.mkdir()
    (drop_ins / "capadvise.conf").write_text(LANGUAGES["systemd"].render(snippet))
    return unit


@pytest.mark.parametrize("caps", [NONE, CHOWN, frozenset(map(Cap, range(len(NAMES))))], ids=len)
@pytest.mark.parametrize("user", ["0:0", "33:33"])
def test_systemd_finds_nothing_to_say(caps: CapSet, user: str, tmp_path: Path) -> None:
    snippet = snippet_with(caps, user=user)
    reason = "%n ${HOME} $(id) \\ ; # \\"
    snippet = replace(snippet, caps=tuple((cap, reason) for cap, _ in snippet.caps))
    done = call(tool("systemd-analyze"), "verify", "--man=no", str(_units(snippet, tmp_path)))
    assert "capadvise.conf" not in done.stderr
    assert done.returncode == 0, done.stderr


def test_systemd_would_say_what_is_wrong(tmp_path: Path) -> None:
    """So that its silence means something."""
    unit = _units(snippet_with(CHOWN), tmp_path)
    (tmp_path / f"{unit.name}.d" / "20.conf").write_text("[Service]\nNoNewPrivilege=true\n")
    done = call(tool("systemd-analyze"), "verify", "--man=no", str(unit))
    assert "20.conf:2: Unknown key" in done.stderr


def test_systemd_counts_fewer_risks(tmp_path: Path) -> None:
    unit = _units(snippet_with(CHOWN), tmp_path)
    analyze = (tool("systemd-analyze"), "security", "--offline=true", "--json=short")
    rows = {row["name"]: row["set"] for row in json.loads(call(*analyze, str(unit)).stdout)}
    assert rows["CapabilityBoundingSet=~CAP_SYS_TIME"] is True
    assert rows["CapabilityBoundingSet=~CAP_(CHOWN|FSETID|SETFCAP)"] is False
    assert rows["NoNewPrivileges="] is True


@pytest.mark.parametrize(
    "assignments",
    [
        *([], ["CAP_KILL"], ["CAP_KILL", "CAP_LEASE"], ["CAP_KILL", "", "CAP_LEASE"]),
        *(["CAP_KILL", ""], ["CAP_KILL", "~"], ["~CAP_KILL CAP_LEASE"]),
        *(["~CAP_KILL CAP_LEASE", "CAP_KILL"], ["CAP_KILL CAP_LEASE", "~CAP_KILL"]),
        ["~CAP_KILL", "~CAP_LEASE"],
    ],
    ids=str,
)
def test_assignments_add_up_as_they_do_in_systemd(assignments: list[str], tmp_path: Path) -> None:
    lines = "".join(f"CapabilityBoundingSet={value}\n" for value in assignments)
    unit = tmp_path / "x.service"
    unit.write_text(f"[Service]\nExecStart=/bin/true\n{lines}")
    (declared,) = LANGUAGES["systemd"].read(unit.read_text())
    analyze = (tool("systemd-analyze"), "security", "--offline=true", "--json=short")
    rows = {row["name"]: row["set"] for row in json.loads(call(*analyze, str(unit)).stdout)}
    for name in ("CAP_KILL", "CAP_LEASE", "CAP_SYS_PTRACE"):
        gone = name in declared.drop or ("ALL" in declared.drop and name not in declared.add)
        assert rows[f"CapabilityBoundingSet=~{name}"] is gone


@contextmanager
def _started(unit: Path) -> Iterator[None]:
    """A systemd as process 1 of namespaces of its own, below a control group of its own."""
    name = f"capadvise-formats-test-{os.getpid()}-{time.monotonic_ns()}"
    environment = {**os.environ, "NAME": name, "SYSTEMD_UNIT_PATH": str(unit.parent)}
    environment["container"] = "other"
    kinds = ("--mount", "--pid", "--fork", "--uts", "--ipc", "--mount-proc", "--kill-child")
    systemd = (SYSTEMD, "--system", f"--unit={unit.name}", "--log-target=null", "--show-status=no")
    process = subprocess.Popen(
        ["unshare", *kinds, "sh", "-c", OWN_CGROUP, "sh", *systemd],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()
        subprocess.run(
            ["unshare", "--mount", "sh", "-c", REMOVE_CGROUP], env=environment, check=True
        )


@pytest.mark.parametrize(
    ("caps", "user"),
    [(NONE, "0:0"), (CHOWN, "0:0"), (ALL, "0:0"), (NONE, "33:33"), (CHOWN, "33:33")],
    ids=lambda value: value if isinstance(value, str) else str(len(value)),
)
def test_a_service_holds_the_set_and_works(caps: CapSet, user: str) -> None:
    if os.geteuid() != 0 or not Path(SYSTEMD).exists():
        missing("only root starts a systemd, where it is installed")
    with tempfile.TemporaryDirectory() as text:  # pytest's own lets no other user in
        folder = Path(text)
        folder.chmod(0o755)
        (folder / "file").touch()
        out = folder / "out"
        out.touch()
        with _started(_units(snippet_with(caps, user=user), folder)):
            deadline = time.monotonic() + 30
            while not out.read_text().endswith("end\n") and time.monotonic() < deadline:
                time.sleep(0.1)
        said = out.read_text()
        held = sets(said)
        assert (held["Bnd"], held["Eff"]) == (caps, caps)
        assert "NoNewPrivs:\t1" in said
        assert ("gave it away" in said) is (Cap.parse("CHOWN") in caps)
        assert (folder / "file").stat().st_uid == (5 if caps else 0)
