"""Who refused: the judgement, without a kernel."""

from __future__ import annotations

from dataclasses import replace

import pytest

from capadvise.caps import Cap
from capadvise.catalog import default
from capadvise.posture import Mac
from capadvise.recording import Namespace, Refusal, RefusedBy
from capadvise.refused import DeniedCheck, RefusedCall, refusal
from capadvise.report.refusals import refusal_lines
from tests.support.recordings import RECORDING

SITES = default().sites
CONFINED = Mac("apparmor", "docker-default", "enforce")
LOOSE = Mac("apparmor", "docker-default", "complain")


def denied(cap: str, *site: str, ns: Namespace = Namespace.TARGET) -> DeniedCheck:
    return DeniedCheck(Cap.parse(cap), site, ns)


HOST_NAME = denied("SYS_ADMIN", "ns_capable", "__do_sys_sethostname", "__x64_sys_sethostname")
OPEN = denied(
    "DAC_OVERRIDE",
    "capable_wrt_inode_uidgid",
    "generic_permission",
    "inode_permission",
    "may_open",
    "path_openat",
    "do_sys_openat2",
    "__x64_sys_openat",
)
ACCESS = denied(
    "DAC_OVERRIDE",
    "capable_wrt_inode_uidgid",
    "generic_permission",
    "inode_permission",
    "do_faccessat",
    "__x64_sys_faccessat",
)
LOCK = denied("IPC_LOCK", "capable", "can_do_mlock", "__do_sys_mlockall", "__x64_sys_mlockall")
OVERCOMMIT = denied("SYS_ADMIN", "security_vm_enough_memory_mm", "do_brk_flags")
UNKNOWN_SITE = denied("CAP_63", "a_new_function")


def call(name: str, errno: str, *asked: DeniedCheck, uid: int = 0, entered: bool | None = True,
         nested: bool = False) -> RefusedCall:  # fmt: skip
    return RefusedCall(name, errno, "x", uid, entered, asked, nested)


@pytest.mark.parametrize(
    ("known", "mac", "by", "evidence"),
    [
        (call("mount", "EPERM", entered=False), None, "seccomp", "before the kernel's own code"),
        (call("mount", "ENOSYS", entered=False), CONFINED, "seccomp", "before the kernel's"),
        (call("?", "SIGSYS", entered=None), None, "seccomp", "sent SIGSYS"),
        (call("mkdir", "EROFS"), CONFINED, "mount", "read-only"),
        (call("sethostname", "EPERM", HOST_NAME), CONFINED, "capability", "SYS_ADMIN was asked"),
        (call("sethostname", "EPERM", HOST_NAME, nested=True), None, "namespace", "SYS_ADMIN"),
        (call("sethostname", "EPERM", replace(HOST_NAME, ns=Namespace.HOST)), None, "namespace",
         "does not own"),
        (call("sethostname", "EPERM", replace(HOST_NAME, ns=Namespace.CHILD), nested=True), None,
         "capability", "SYS_ADMIN was asked"),
        (call("openat", "EACCES", OPEN, uid=33), CONFINED, "mode", "DAC_OVERRIDE would override"),
        (call("openat", "EACCES", OPEN), None, "capability", "DAC_OVERRIDE was asked"),
        (call("openat", "EACCES", ACCESS, uid=33), None, "unknown", "no capability was asked"),
        (call("openat", "EACCES"), CONFINED, "unknown", "may have been apparmor"),
        (call("openat", "EACCES"), LOOSE, "unknown", "a nodev mount"),
        (call("openat", "EACCES", nested=True), None, "mode", "no number in the user namespace"),
        (call("openat", "EPERM"), None, "unknown", "the control group shuts out"),
        (call("execve", "EACCES"), None, "mode", "noexec"),
        (call("openat", "EMFILE"), None, "limit", "RLIMIT_NOFILE"),
        (call("mlockall", "EPERM", LOCK), None, "limit", "RLIMIT_MEMLOCK; IPC_LOCK would lift it"),
        (call("mlock", "ENOMEM"), None, "limit", "RLIMIT_MEMLOCK"),
        (call("kill", "EPERM"), None, "unknown", "no capability was asked"),
        (call("ptrace", "EPERM", OVERCOMMIT), None, "unknown", "no capability was asked"),
        (call("ptrace", "EPERM", UNKNOWN_SITE), None, "capability", "CAP_63 was asked"),
    ],
)  # fmt: skip
def test_who(known: RefusedCall, mac: Mac | None, by: str, evidence: str) -> None:
    found = refusal(known, 3, SITES, mac)
    assert (found.by, found.count) == (RefusedBy(by), 3)
    assert evidence in found.evidence


def test_for_people_the_telling_ones_come_first_and_names_are_escaped() -> None:
    noise = [Refusal("openat", "EACCES", RefusedBy.MODE, f"p{n}", 9, "mode") for n in range(9)]
    filtered = Refusal("mount", "EPERM", RefusedBy.SECCOMP, "\x1b[2J", 1, "a filter")
    lines = list(refusal_lines([replace(RECORDING, refusals=(*noise, filtered))]))
    assert lines[:2] == [
        "Refused, and by whom:",
        "  seccomp    mount EPERM, \\x1b[2J, 1×: a filter",
    ]
    assert lines[-1] == "  and 2 more: see `refusals` in the report"
    assert list(refusal_lines([replace(RECORDING, refusals=())])) == []
