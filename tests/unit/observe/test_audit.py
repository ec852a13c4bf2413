"""Audit logs of several distributions: what is read out of them, and that nothing else is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capadvise.catalog import default
from capadvise.catalog.syscalls import parse_syscalls
from capadvise.cli import main
from capadvise.judgement.refusals import Refusal, with_denials
from capadvise.model.recording import RefusedBy
from capadvise.observe.audit.denials import Denial, counted, denials
from capadvise.observe.audit.records import parse_line, parse_lines
from capadvise.report.load import load

LOGS = Path(__file__).parents[2] / "data" / "audit"
SYSCALLS = default().syscalls
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "i386": Path("/usr/include/x86_64-linux-gnu/asm/unistd_32.h"),
    "generic": Path("/usr/include/asm-generic/unistd.h"),
}

WHAT = {
    "ubuntu-24.04-syslog.log": [
        ("mac", "cupsd", "capable", "EPERM", "NET_ADMIN", True),
        ("mac", "cupsd", "open", "EACCES", None, True),
        ("mac", "cupsd", "capable", "EPERM", "SYS_NICE", False),
    ],
    "ubuntu-14.04-kern.log": [("mac", "cupsd", "capable", "EPERM", "BLOCK_SUSPEND", True)],
    "debian-12-journal.log": [
        ("mac", "named", "open", "EACCES", None, True),
        ("mac", "named", "capable", "EPERM", "NET_ADMIN", True),
    ],
    "fedora-40-audit.log": [
        ("mac", "20-chrony-dhcp", "openat", "EACCES", "DAC_OVERRIDE", True),
        ("mac", "20-chrony-dhcp", "bpf", "EPERM", "BPF", False),
    ],
    "rhel-8-ausearch-i.txt": [("mac", "rpc.nfsd", "fcntl", "EACCES", "LEASE", True)],
    "rhel-9-syscalls.log": [
        ("unknown", "agent", "sethostname", "EPERM", None, True),
        ("unknown", "agent", "openat", "EACCES", None, True),
    ],
    "seccomp.log": [
        ("seccomp", "worker", "mount", "SIGSYS", None, True),
        ("seccomp", "worker", "mount", "EPERM", None, True),
    ],
    "android-logcat.txt": [("mac", "netd", "sys_module", "EPERM", "SYS_MODULE", True)],
}


@pytest.mark.parametrize("name", sorted(path.name for path in LOGS.iterdir()))
def test_what_a_log_says(name: str) -> None:
    lines = (LOGS / name).read_text(encoding="utf-8").splitlines()
    assert [
        (str(d.by), d.program, d.syscall, d.errno, d.cap.short if d.cap is not None else None,
         d.refused)
        for d in denials(parse_lines(lines), SYSCALLS)
    ] == WHAT[name]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "recommended"),
    [
        ("ubuntu-24.04-syslog.log", {"NET_ADMIN", "SYS_NICE"}),
        ("fedora-40-audit.log", {"DAC_OVERRIDE", "BPF"}),
        ("rhel-9-syscalls.log", {"SYS_ADMIN"}),
        ("seccomp.log", set()),
    ],
)
def test_a_log_becomes_a_report(
    name: str, recommended: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.json"
    assert main(["import", str(LOGS / name), "-o", str(path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["proposal"]["cap_add"]) == recommended
    assert report["recordings"][0]["host"]["observer"] == "audit"
    assert {cap.short for cap in load(path, default()).proposal.recommended} == recommended
    assert main(["import", str(LOGS / name), "-o", str(path)]) == 0
    text = capsys.readouterr().out
    assert "of audit log" in text
    assert "an audit log holds refusals only" in " ".join(text.split())


IN_USER_NAMESPACES = [
    'type=AVC msg=audit(1.0:1): apparmor="DENIED" operation="capable" class="cap" '
    'profile="unprivileged_userns" pid=9 comm="app" capability=21  capname="sys_admin"',
    'type=AVC msg=audit(1.0:1): apparmor="DENIED" operation="capable" class="cap" '
    'profile="app//&unprivileged_userns" pid=9 comm="app" capability=12  capname="net_admin"',
    "type=AVC msg=audit(1.0:2): avc:  denied  { sys_admin } for  pid=9 comm=app capability=21  "
    "scontext=system_u:system_r:container_t:s0 tclass=cap_userns permissive=0",
]


@pytest.mark.parametrize("line", IN_USER_NAMESPACES)
def test_what_was_refused_in_a_user_namespace_is_no_need_of_the_host(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To grant it the capability would not help: AppArmor or SELinux has refused it there."""
    log = tmp_path / "log"
    log.write_text(f"{line}\n")
    assert main(["import", str(log), "-o", str(tmp_path / "r.json"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["proposal"]["cap_add"] == []
    (asked,) = report["recordings"][0]["checks"]
    assert (asked["ns"], asked["granted"]) == ("child", False)
    assert main(["import", str(log), "-o", str(tmp_path / "r.json")]) == 0
    assert "in a user namespace" in " ".join(capsys.readouterr().out.split())


def test_who_may_not_make_a_user_namespace_is_told_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    log.write_text(
        'type=AVC msg=audit(1.0:1): apparmor="DENIED" operation="userns_create" class="namespace" '
        'info="User namespace creation restricted" error=-13 profile="unconfined" pid=9 '
        'comm="app" requested="userns_create" denied="userns_create"\n'
    )
    assert main(["import", str(log), "-o", str(tmp_path / "r.json")]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert (
        'does not allow userns_create: the program needs a profile with the rule "userns,"' in page
    )


def test_of_several_programs_one_must_be_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "all.log"
    log.write_text("".join((LOGS / name).read_text() for name in WHAT), encoding="utf-8")
    assert main(["import", str(log)]) == 2
    assert "several programs: cupsd (4), " in capsys.readouterr().err
    path = str(tmp_path / "r.json")
    assert main(["import", str(log), "--program", "rpc.nfsd", "-o", path]) == 0
    assert main(["import", str(log), "--program", "/opt/agent/bin/agent", "-o", path]) == 0
    assert main(["import", str(log), "--program", "nobody", "-o", path]) == 2
    assert main(["import", "/etc/hostname"]) == 2
    assert main(["import", str(tmp_path)]) == 2


HOSTILE = [
    'type=AVC msg=audit(1.0:1): apparmor="DENIED" operation="capable" capability=99 comm=1B5B324A',
    "type=AVC msg=audit(1.0:2): avc:  denied  { } for  pid=x capability=-3 tclass=capability",
    "type=SECCOMP msg=audit(1.0:3): sig=31 arch=zz syscall=99999999999999999999 pid=1 comm=",
    f"type=SYSCALL msg=audit(1.0:4): success=no exit=-1 {'a' * 9000}=1 syscall=-1 arch=c000003e",
    f"type=AVC msg=audit({'9' * 400}.1:1): avc: denied {{ {'x ' * 4000} }} tclass=capability",
    "audit(" * 2000,
    "type=1400 audit(1.0:5): avc: denied { \x1b]0;x\x07 } for tclass=capability capability=1e9",
]


def test_hostile_lines_are_refused_or_harmless(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    log.write_text("\n".join([*HOSTILE, "x" * 100_000, ""]), encoding="utf-8")
    log.open("ab").write(b"\xff\x00type=AVC \xfe msg=audit(1.0:6): apparmor=\n")
    path = str(tmp_path / "r.json")
    assert main(["import", str(log), "--program", "\x1b[2J", "-o", path]) in (0, 2)
    seen = capsys.readouterr()
    assert "\x1b" not in seen.out + seen.err


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200), st.sampled_from([*HOSTILE, "type=SYSCALL msg=audit(1.0:1): "]))
def test_no_text_breaks_the_parser(text: str, head: str) -> None:
    denials(parse_lines([head + text, text + head]), SYSCALLS)


def test_names_in_hexadecimal_are_read() -> None:
    record = parse_line("type=SYSCALL msg=audit(1.0:1): comm=6E67696E7820 exe=2F62 pid=41")
    assert record is not None
    assert dict(record.fields) == {"comm": "nginx ", "exe": "/b", "pid": "41"}


@pytest.mark.parametrize("table", ["x86_64", "i386", "generic"])
def test_numbers_are_those_of_the_headers(table: str) -> None:
    """The table is a copy: where the kernel's headers are installed, they must agree."""
    if not HEADERS[table].exists():
        pytest.skip("the kernel's headers of this architecture are not installed")
    defined = dict(
        re.findall(r"(?m)^#define __NR(?:3264)?_(\w+)\s+(\d+)$", HEADERS[table].read_text())
    )
    for name, number in SYSCALLS.numbers[table].items():
        theirs = defined.get({"newfstatat": "fstatat"}.get(name, name)) or defined.get(name)
        assert theirs is None or int(theirs) == number, name
    assert len(SYSCALLS.numbers[table]) > 300


def test_a_table_of_calls() -> None:
    found = parse_syscalls("# x\nname\tx86_64\tgeneric\nmount\t165\t40\nmkdir\t83\t-\n")
    assert found.name(0xC000003E, 165) == found.name(0xC00000B7, 40) == "mount"
    assert found.name(0xC00000B7, 83) is None
    assert found.name(0x1234, 165) is None


SEEN = (
    Refusal("?", "SIGSYS", RefusedBy.SECCOMP, "worker", 1, "a filter"),
    Refusal("capset", "EPERM", RefusedBy.UNKNOWN, "a-program-with-a-long-name", 2, "?"),
    Refusal("openat", "EACCES", RefusedBy.MODE, "cat", 1, "mode"),
)


def denial(by: str, program: str, call: str, code: str, exe: str | None = None) -> Denial:
    return Denial(RefusedBy(by), 1, program, 1.0, "told", call, code, exe=exe)


@pytest.mark.parametrize(
    ("heard", "found"),
    [
        ([], [("?", "seccomp", 1), ("capset", "unknown", 2), ("openat", "mode", 1)]),
        (
            [denial("seccomp", "worker", "umount2", "SIGSYS", "/opt/worker")],
            [("capset", "unknown", 2), ("openat", "mode", 1), ("umount", "seccomp", 1)],
        ),
        (
            [denial("mac", "a-program-with-", "capable", "EPERM")],
            [("?", "seccomp", 1), ("capset", "unknown", 1), ("capset", "mac", 1),
             ("openat", "mode", 1)],
        ),
        (
            [denial("mac", "cat", "openat", "EACCES", "/bin/cat")],
            [("?", "seccomp", 1), ("capset", "unknown", 2), ("openat", "mac", 1)],
        ),
        (
            [denial("mac", "other", "mount", "EACCES")],
            [("?", "seccomp", 1), ("capset", "unknown", 2), ("mount", "mac", 1),
             ("openat", "mode", 1)],
        ),
        (
            [denial("unknown", "cat", "openat", "EACCES")],
            [("?", "seccomp", 1), ("capset", "unknown", 2), ("openat", "mode", 1)],
        ),
    ],
)  # fmt: skip
def test_what_was_heard_names_who_refused(
    heard: list[Denial], found: list[tuple[str, str, int]]
) -> None:
    merged = with_denials(SEEN, counted(heard))
    assert [(item.syscall, str(item.by), item.count) for item in merged] == found


def test_a_filter_that_the_trace_has_seen_is_not_counted_twice() -> None:
    seen = (Refusal("mount", "SIGSYS", RefusedBy.SECCOMP, "worker", 3, "a filter"),)
    heard = [denial("seccomp", "worker", "mount", "SIGSYS", "/opt/worker")] * 3
    assert with_denials(seen, counted(heard)) == seen
