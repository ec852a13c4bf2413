"""Who refused: the same commands, refused by each mechanism of a real kernel in turn."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.runs import Run

UNDER_FILTER = str(Path(__file__).parents[1] / "programs" / "under_filter.py")
LOCK_ALL = str(Path(__file__).parents[1] / "programs" / "lock_all.py")
READ_ONLY = 'mount -t tmpfs -o ro none "$0" && exec mkdir "$0/below"'
SILENT_READ = 'exec cat "$0" 2>/dev/null'


@dataclass(frozen=True)
class Row:
    command: tuple[str, ...]
    call: str
    errno: str
    by: str
    evidence: str
    """A part of it."""

    @property
    def id(self) -> str:
        return f"{self.by}-{self.call}-{self.errno}"


def filtered(call: str, action: str, *command: str) -> tuple[str, ...]:
    return (sys.executable, UNDER_FILTER, call, action, *command)


WITHOUT_ADMIN = ("setpriv", "--bounding-set=-sys_admin")
WITHOUT_DAC = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
NO_LOCKING = ("setpriv", "--bounding-set=-ipc_lock", "prlimit", "--memlock=0")
NAME = ("hostname", "x")
LINK = ("ip", "link", "add", "d0", "type", "dummy")
PING = ("sh", "-c", "ip link set lo up; ping -c1 127.0.0.1")
SHUT = "{shut}"
"""A folder of uid 1 that nobody else may look into."""

ROWS = [
    Row((*WITHOUT_ADMIN, *NAME), "sethostname", "EPERM", "capability", "SYS_ADMIN was checked"),
    Row(filtered("sethostname", "EPERM", *NAME), "sethostname", "EPERM", "seccomp", "answered"),
    Row(filtered("sethostname", "ENOSYS", *NAME), "sethostname", "ENOSYS", "seccomp", "answered"),
    Row(filtered("sethostname", "KILL", *NAME), "sethostname", "SIGSYS", "seccomp", "SIGSYS"),
    Row(filtered("getcwd", "KILL", "pwd", "-P"), "getcwd", "SIGSYS", "seccomp", "SIGSYS"),
    Row(("unshare", "-U", "-r", *NAME), "sethostname", "EPERM", "namespace", "does not own"),
    Row(("unshare", "-U", "-r", *LINK), "sendmsg", "EPERM", "namespace", "does not own"),
    Row((*WITHOUT_DAC, "mkdir", f"{SHUT}/x"), "mkdir", "EACCES", "capability", "DAC_OVERRIDE"),
    Row((*NOBODY, "mkdir", f"{SHUT}/x"), "mkdir", "EACCES", "mode", "owner and mode"),
    Row((*NOBODY, "sh", "-c", SILENT_READ, "/etc/shadow"), "openat", "EACCES", "mode", "mode"),
    Row(("unshare", "-m", "sh", "-c", READ_ONLY, SHUT), "mkdir", "EROFS", "mount", "read-only"),
    Row((*NO_LOCKING, sys.executable, LOCK_ALL), "mlockall", "EPERM", "limit", "RLIMIT_MEMLOCK"),
    Row(("unshare", "-n", *PING), "socket", "EACCES", "unknown", "ping_group_range"),
    Row((f"{SHUT}/text",), "execve", "EACCES", "mode", "not executable"),
]


@pytest.mark.parametrize("options", [(), ("--retry",)], ids=["seen", "retried"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_who_refused(row: Row, options: tuple[str, ...], run: Run, tmp_path: Path) -> None:
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o700)
    (shut / "text").write_text("no program")
    os.chown(shut, 1, 1)
    command = [word.replace(SHUT, str(shut)) for word in row.command]
    done = run("sh", "-c", '"$@" || true', "sh", *command, options=("-v", *options))
    refused = [
        item
        for item in done.report["recordings"][0]["refusals"]
        if (item["syscall"], item["errno"]) == (row.call, row.errno)
    ]
    assert [item["by"] for item in refused] == [row.by]
    assert row.evidence in refused[0]["evidence"]
    assert "Refused calls, and what refused them:" in done.stderr
    assert f"  {row.by:10} {row.call} {row.errno}, " in done.stderr


def test_a_run_without_refusals_says_nothing_of_them(run: Run) -> None:
    done = run("true")
    assert done.report["recordings"][0]["refusals"] == []
    assert "Refused calls," not in done.stderr


def test_retries_show_what_refused_an_open_and_count_no_try(run: Run, tmp_path: Path) -> None:
    """Each call begins without capabilities, and is made again before it is given up."""
    script = (
        'mount -t tmpfs -o ro,noexec none "$0"; touch "$0/x"; cp /bin/true y; ./y; chmod 0 y; ./y'
    )
    command = ("unshare", "-m", "sh", "-c", f"{script}; true", str(tmp_path))
    done = run(*command, options=["--retry"])
    refused = {
        (item["syscall"], item["errno"], item["by"]): item["count"]
        for item in done.report["recordings"][0]["refusals"]
    }
    assert refused == {("openat", "EROFS", "mount"): 1, ("execve", "EACCES", "mode"): 1}
