"""Each capability triggered on its own: verdict, site rule and sentence; and the way without.

The operations are in ``tests/programs/triggers.py``.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from capadvise.catalog import SiteRule, default
from capadvise.model.caps import NAMES, Cap
from tests.support.runs import Result, Run

TRIGGERS = Path(__file__).parents[1] / "programs" / "triggers.py"
NOBODY = 65534

OUT_OF_REACH = {
    "MAC_ADMIN": "no security module that asks for it is active (SELinux is built in, not loaded)",
    "MAC_OVERRIDE": "Smack and AppArmor ask for it; neither is built in",
    "BLOCK_SUSPEND": "a kernel that cannot sleep (CONFIG_PM_SLEEP is off) ignores EPOLLWAKEUP",
}
"""Capabilities that nothing on this machine asks for, and why."""


@dataclass(frozen=True)
class Row:
    """An operation and what its need must look like."""

    name: str
    cap: str
    rule: str
    also: str = ""
    """What else the operation needs, and what it needs without the capability in question."""
    otherwise: str = ""
    """What the variant without it needs."""
    net: str | None = None
    user: str | None = None
    alternatives: str = ""
    """Another capability that does as well."""
    gives_up: bool = False
    """Self-restricting: without it the program would be less safe."""

    @property
    def id(self) -> str:
        return f"{self.cap}-{self.name}"


LOW_PORT = "sysctl -qw net.ipv4.ip_unprivileged_port_start=1024"

USED = [
    Row("chown", "CHOWN", "chown"),
    Row("write_file", "DAC_OVERRIDE", "file-open-override"),
    Row("read_file", "DAC_OVERRIDE", "file-open-read", alternatives="DAC_READ_SEARCH"),
    Row("open_by_handle", "DAC_READ_SEARCH", "open-by-handle"),
    Row("chmod_foreign", "FOWNER", "chmod-owner"),
    Row("setgid_chmod", "FSETID", "setgid-chmod", also="FOWNER", otherwise="FOWNER"),
    Row("kill", "KILL", "kill"),
    Row("setgid", "SETGID", "setgid", gives_up=True),
    Row("setresgid", "SETGID", "setresgid", gives_up=True),
    Row("setgroups", "SETGID", "setgroups", gives_up=True),
    Row("setfsgid", "SETGID", "setfsgid"),
    Row("setuid", "SETUID", "setuid", gives_up=True),
    Row("setresuid", "SETUID", "setresuid", gives_up=True),
    Row("setfsuid", "SETUID", "setfsuid"),
    Row("setid_exec", "SETUID", "exec-setid-traced", user="nobody"),
    Row("bounding_drop", "SETPCAP", "bounding-drop", gives_up=True),
    Row("immutable", "LINUX_IMMUTABLE", "file-flags-immutable"),
    Row("bind_port", "NET_BIND_SERVICE", "bind-port4", net=LOW_PORT),
    Row("all_namespaces", "NET_BROADCAST", "netlink-all-namespaces"),
    Row("interface_flags", "NET_ADMIN", "interface-ioctl", net="true"),
    Row("raw_socket", "NET_RAW", "socket-raw4"),
    Row("mlock", "IPC_LOCK", "mlock"),
    Row("shm_foreign", "IPC_OWNER", "ipc-foreign-access"),
    Row("umh_bounds", "SYS_MODULE", "sysctl-usermodehelper", also="SETPCAP"),
    Row("umh_bounds", "SETPCAP", "sysctl-usermodehelper", also="SYS_MODULE"),
    Row("mmap_zero", "SYS_RAWIO", "mmap-low-address"),
    Row("fibmap", "SYS_RAWIO", "fibmap"),
    Row("chroot", "SYS_CHROOT", "chroot", gives_up=True),
    Row("ptrace", "SYS_PTRACE", "ptrace-attach"),
    Row("acct", "SYS_PACCT", "acct"),
    Row("unshare_uts", "SYS_ADMIN", "new-namespaces"),
    Row("sethostname", "SYS_ADMIN", "sethostname"),
    Row("seccomp", "SYS_ADMIN", "seccomp-filter"),
    Row("landlock", "SYS_ADMIN", "landlock"),
    Row("trusted_write", "SYS_ADMIN", "xattr-trusted-write"),
    Row("trusted_read", "SYS_ADMIN", "xattr-trusted-read"),
    Row("reboot", "SYS_BOOT", "reboot"),
    Row("nice", "SYS_NICE", "nice-raise"),
    Row("clock_settime", "SYS_TIME", "set-time"),
    Row("adjtimex", "SYS_TIME", "adjust-time"),
    Row("vhangup", "SYS_TTY_CONFIG", "vhangup"),
    Row("console_mode", "SYS_TTY_CONFIG", "vt-set"),
    Row("mknod", "MKNOD", "mknod"),
    Row("lease", "LEASE", "lease"),
    Row("audit_fanotify", "AUDIT_WRITE", "fanotify-audit", also="SYS_ADMIN", otherwise="SYS_ADMIN"),
    Row("audit_control", "AUDIT_CONTROL", "audit-control"),
    Row("audit_read", "AUDIT_READ", "audit-read"),
    Row("filecaps", "SETFCAP", "filecaps-set"),
    Row("syslog", "SYSLOG", "syslog-read"),
    Row("kmsg", "SYSLOG", "kmsg-read"),
    Row("alarm_timer", "WAKE_ALARM", "timerfd-alarm"),
    Row("perf", "PERFMON", "perf-kernel", alternatives="SYS_ADMIN"),
    Row("bpf_map", "BPF", "bpf-map", alternatives="SYS_ADMIN"),
    Row("last_pid", "CHECKPOINT_RESTORE", "last-pid", alternatives="SYS_ADMIN"),
]
"""What the operation cannot do without."""

IN_PASSING = [
    Row("setid_write", "FSETID", "setid-write"),
    Row("noatime", "FOWNER", "noatime-open"),
    Row("proc_stat", "SYS_PTRACE", "proc-stat-fields"),
    Row("kallsyms", "SYSLOG", "kallsyms"),
    Row("shm_lock", "IPC_LOCK", "shm-lock-segment"),
    Row("audit_message", "AUDIT_WRITE", "audit-message"),
]
"""What programs do without when it is refused, at a price: never proposed, the loss is named."""

RLIMIT = Row("rlimit", "SYS_RESOURCE", "rlimit-hard")
BAD_REBOOT = Row("reboot_bad_magic", "SYS_BOOT", "reboot")
ROWS = [*USED, *IN_PASSING, RLIMIT, BAD_REBOOT]


@dataclass(frozen=True)
class Foreign:
    """What belongs to another user."""

    process: int
    segment: str


@pytest.fixture(scope="module")
def foreign() -> Iterator[Foreign]:
    who: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    made = subprocess.run(
        ["ipcmk", "-M", "4096", "-p", "0644"], check=True, capture_output=True, text=True, **who
    )
    segment = re.findall(r"\d+", made.stdout)[-1]
    process = subprocess.Popen(["sleep", "600"], **who)
    yield Foreign(process.pid, segment)
    process.kill()
    process.wait()
    subprocess.run(["ipcrm", "-m", segment], check=True)


def furnish(work: Path) -> None:
    """The files that the triggers work on."""
    work.mkdir(exist_ok=True)
    for name, owner, group, mode in (
        ("own", 0, 0, 0o644),
        ("foreign", NOBODY, NOBODY, 0o600),
        ("open", NOBODY, NOBODY, 0o666),
        ("grouped", NOBODY, NOBODY, 0o755),
        ("secret", 0, 0, 0o600),
    ):
        path = work / name
        path.write_text("some text")
        os.chown(path, owner, group)
        path.chmod(mode)
    shutil.copy("/usr/bin/cat", work / "setid")
    (work / "setid").chmod(0o4755)
    os.setxattr(work / "own", "trusted.there", b"1")
    os.setxattr(work / "own", "user.there", b"1")


def open_up(folder: Path) -> None:
    """Let every user reach a folder below /tmp."""
    for path in (folder, *folder.parents[:-2]):
        path.chmod(0o755)


def command(row: Row, variant: str, foreign: Foreign) -> list[str]:
    """The trigger's command line."""
    python = "/usr/bin/python3" if row.user else sys.executable
    return [python, str(TRIGGERS), row.name, variant, str(foreign.process), foreign.segment]


def in_network(row: Row, argv: list[str]) -> list[str]:
    """A command in a network of its own, where the row asks for one."""
    if row.net is None:
        return argv
    script = f'set -e; ip link set lo up; {row.net}; exec "$@"'
    return ["unshare", "--net", "sh", "-c", script, "sh", *argv]


Watch = Callable[[Row, str], Result]


@pytest.fixture
def watch(run: Run, foreign: Foreign, tmp_path: Path) -> Watch:
    """``watch(row, "needs")``: the trigger under capadvise; it did its job."""

    def start(row: Row, variant: str) -> Result:
        furnish(tmp_path / "w")
        open_up(tmp_path)
        options = ("--user", row.user) if row.user else ()
        result = run(*command(row, variant, foreign), options=options, net=row.net)
        assert result.report["recordings"][0]["lost"]["signal"] == 0
        return result

    return start


@pytest.fixture(scope="module")
def seen() -> dict[Row, Result]:
    """The runs of ``without``."""
    return {}


@pytest.fixture
def without(watch: Watch, seen: dict[Row, Result]) -> Callable[[Row], Result]:
    """The other way. All rows that are alike do it in one run: what none of them needs is not
    proposed for them together (each run costs a third of a second)."""

    def like(row: Row) -> Row:
        return Row("", "", "", otherwise=row.otherwise, net=row.net, user=row.user)

    def start(row: Row) -> Result:
        key = like(row)
        if key not in seen:
            alike = dict.fromkeys(item.name for item in ROWS if like(item) == key)
            seen[key] = watch(replace(key, name=",".join(alike)), "without")
            assert seen[key].code == 0, seen[key].stderr
        return seen[key]

    return start


def evidence(
    result: Result, need: dict[str, Any]
) -> Iterator[tuple[dict[str, Any], SiteRule | None]]:
    """The checks behind a need, those that decide first, and their rules."""
    checks = {check["id"]: check for check in result.report["recordings"][0]["checks"]}
    for number in need["evidence"]:
        check = checks[number]
        yield check, default().sites.match(Cap.parse(check["cap"]), tuple(check["site"]))


def said(row: Row, result: Result, verdict: str) -> tuple[dict[str, Any], SiteRule]:
    """Assert verdict, rule and sentence of a need."""
    need = result.need(row.cap)
    assert need is not None, f"never asked for\n{result.stderr}"
    assert need["verdict"] == verdict, need
    if verdict == "needed":  # what is left out of the set may be in doubt
        assert not need["uncertain"]
    found = [rule for _, rule in evidence(result, need) if rule is not None]
    if verdict == "needed":
        assert found[0].id == row.rule, need
    rule = next((rule for rule in found if rule.id == row.rule), None)
    assert rule is not None, found
    assert rule.text in need["reason"]
    return need, rule


@pytest.mark.parametrize("row", USED, ids=lambda row: row.id)
def test_used(row: Row, watch: Watch) -> None:
    result = watch(row, "needs")
    assert result.code == 0, result.stderr
    need, rule = said(row, result, "needed")
    assert need["self_restricting"] is row.gives_up
    assert need["lost_without"] in (None, rule.lost)
    assert need["alternatives"] == [[f"CAP_{cap}"] for cap in row.alternatives.split()]
    assert result.recommended == {row.cap, *row.also.split()}, result.stderr


@pytest.mark.parametrize("row", IN_PASSING, ids=lambda row: row.id)
def test_in_passing(row: Row, watch: Watch) -> None:
    result = watch(row, "needs")
    assert result.code == 0, result.stderr
    need, rule = said(row, result, "incidental")
    assert rule.lost
    assert need["lost_without"] == rule.lost
    assert result.recommended == set(), result.stderr


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_the_other_way(row: Row, without: Callable[[Row], Result]) -> None:
    result = without(row)
    assert row.cap not in result.recommended, result.stderr
    assert result.recommended == set(row.otherwise.split()), result.stderr


@pytest.mark.parametrize("row", USED, ids=lambda row: row.id)
def test_by_trial(row: Row, foreign: Foreign, tmp_path: Path) -> None:
    """The table is true: each operation fails without its capability, the other way does not."""

    def trial(variant: str, bounds: str) -> int:
        work = tmp_path / variant
        furnish(work)
        open_up(work)
        keep = ["setpriv", "--inh-caps=-all", f"--bounding-set={bounds}"]
        if row.user:  # has none
            keep = ["setpriv", "--reuid", row.user, "--regid", "nogroup", "--clear-groups"]
        argv = in_network(row, [*keep, *command(row, variant, foreign)])
        return subprocess.run(argv, capture_output=True, cwd=work).returncode

    dropped = [row.cap, *row.alternatives.split()]
    assert trial("needs", ",".join(f"-{cap.lower()}" for cap in dropped)) != 0
    kept = [f"+{cap.lower()}" for cap in row.otherwise.split()]
    assert trial("without", ",".join(["-all", *kept])) == 0


def test_raising_a_hard_limit(watch: Watch) -> None:
    """Where the machine itself lacks SYS_RESOURCE, the refused call counts as a use."""
    result = watch(RLIMIT, "needs")
    need, _ = said(RLIMIT, result, "needed")
    check, _ = next(evidence(result, need))
    held = "CAP_SYS_RESOURCE" in result.report["recordings"][0]["held"]["permitted"]
    assert check["granted"] is held
    assert (result.code == 0) is held
    assert check["result"] == (0 if held else -errno.EPERM)
    assert result.recommended == {"SYS_RESOURCE"}, result.stderr


def test_a_reboot_that_fails_anyway_needs_nothing(watch: Watch) -> None:
    result = watch(BAD_REBOOT, "needs")
    assert result.code == 0, result.stderr
    need, _ = said(BAD_REBOOT, result, "incidental")
    assert "failed anyway" in need["reason"]
    assert result.recommended == set()


def test_every_capability_has_a_row() -> None:
    assert {row.cap for row in USED} | {RLIMIT.cap} | set(OUT_OF_REACH) == set(NAMES)
