"""Who refused: the judgement, without a kernel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from capadvise.catalog import Catalog
from capadvise.catalog.sites import Meaning, SiteRule
from capadvise.judgement.refusals import refusal, refusals
from capadvise.model.caps import Cap
from capadvise.model.posture import Mac
from capadvise.model.recording import (
    AuditDenial,
    DeniedCheck,
    Namespace,
    Recording,
    RefusedBy,
    RefusedCall,
    Told,
)
from capadvise.report.dump import dump_recording
from capadvise.report.load import load_recording
from capadvise.report.text import proposal_text, refusal_lines
from tests.support.call_sites import sites_of
from tests.support.recordings import CATALOG, HOST, RECORDING, check, report

SITES = CATALOG.sites
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
BEHIND = denied(
    "DAC_OVERRIDE",
    "capable_wrt_inode_uidgid",
    "generic_permission",
    "inode_permission",
    "link_path_walk",
    "path_openat",
    "do_open_execat",
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
UNSHARE = denied("SYS_ADMIN", "capable", "ksys_unshare", "__x64_sys_unshare")
CLONE = denied("SYS_ADMIN", "capable", "copy_process", "kernel_clone", "__do_sys_clone")
OTHERS = denied("SYS_ADMIN", "ns_capable", "copy_namespaces", "copy_process", "kernel_clone")
OVERCOMMIT = denied("SYS_ADMIN", "security_vm_enough_memory_mm", "do_brk_flags")
UNKNOWN_SITE = denied("CAP_63", "a_new_function")


def call(name: str, errno: str, *asked: DeniedCheck, uid: int = 0, entered: bool | None = True,
         nested: bool = False) -> RefusedCall:  # fmt: skip
    return RefusedCall(name, errno, "x", 1, uid, entered, asked, nested)


@pytest.mark.parametrize(
    ("known", "mac", "by", "evidence"),
    [
        (call("mount", "EPERM", entered=False), None, "seccomp", "before the kernel's own code"),
        (call("mount", "ENOSYS", entered=False), CONFINED, "seccomp", "before the kernel's"),
        (call("?", "SIGSYS", entered=None), None, "seccomp", "sent SIGSYS"),
        (call("mkdir", "EROFS"), CONFINED, "mount", "read-only"),
        (call("sethostname", "EPERM", HOST_NAME), CONFINED, "capability", "SYS_ADMIN was checked"),
        (call("sethostname", "EPERM", HOST_NAME, nested=True), None, "namespace", "SYS_ADMIN"),
        (call("sethostname", "EPERM", replace(HOST_NAME, ns=Namespace.HOST)), None, "namespace",
         "does not own"),
        (call("sethostname", "EPERM", replace(HOST_NAME, ns=Namespace.CHILD), nested=True), None,
         "capability", "SYS_ADMIN was checked"),
        (call("openat", "EACCES", OPEN, uid=33), CONFINED, "mode", "DAC_OVERRIDE would override"),
        (call("openat", "EACCES", OPEN), None, "capability", "DAC_OVERRIDE was checked"),
        (call("execve", "EACCES", BEHIND, uid=33), None, "mode", "DAC_OVERRIDE would override"),
        (call("openat", "EACCES", ACCESS, uid=33), None, "unknown", "no capability check refused"),
        (call("openat", "EACCES"), CONFINED, "unknown", "apparmor, which confines it, may"),
        (call("openat", "EACCES"), LOOSE, "unknown", "a nodev mount"),
        (call("openat", "EACCES", nested=True), None, "mode", "not mapped in the user namespace"),
        (call("openat", "EPERM"), None, "unknown", "the control group denies"),
        (call("execve", "EACCES"), None, "mode", "noexec"),
        (call("mount", "EPERM", nested=True), None, "unknown", "(Ubuntu), AppArmor refuses every"),
        (call("unshare", "EPERM", UNSHARE, uid=33), None, "capability", "userns_clone is 0"),
        (call("clone", "EPERM", CLONE, uid=33), None, "capability", "userns_clone is 0"),
        (call("clone", "EPERM", OTHERS), None, "capability", "creating new namespaces"),
        (call("clone", "EAGAIN", CLONE, uid=33), None, "limit", "RLIMIT_NPROC"),
        (call("openat", "EMFILE"), None, "limit", "RLIMIT_NOFILE"),
        (call("mlockall", "EPERM", LOCK), None, "limit", "RLIMIT_MEMLOCK; IPC_LOCK would lift it"),
        (call("mlock", "ENOMEM"), None, "limit", "RLIMIT_MEMLOCK"),
        (call("kill", "EPERM"), None, "unknown", "no capability check refused it"),
        (call("ptrace", "EPERM", OVERCOMMIT), None, "unknown", "no capability check refused it"),
        (call("ptrace", "EPERM", UNKNOWN_SITE), None, "capability", "CAP_63 was checked"),
    ],
)  # fmt: skip
def test_who(known: RefusedCall, mac: Mac | None, by: str, evidence: str) -> None:
    found = refusal(known, CATALOG, mac)
    assert found.by is RefusedBy(by)
    assert evidence in found.evidence


def told(name: str, errno: str, by: RefusedBy, program: str, count: int, text: str) -> RefusedCall:
    return RefusedCall(name, errno, program, count, told=Told(by, text))


def seen(*calls: RefusedCall, **more: Any) -> Recording:
    return replace(RECORDING, refused_calls=calls, **{"audit": (), "checks": (), **more})


def test_for_people_the_telling_ones_come_first_and_names_are_escaped() -> None:
    noise = [told("openat", "EACCES", RefusedBy.MODE, f"p{n}", 9, "mode") for n in range(9)]
    filtered = told("mount", "EPERM", RefusedBy.SECCOMP, "\x1b[2J", 1, "a filter")
    lines = list(refusal_lines(report(seen(*noise, filtered)), CATALOG))
    assert lines[:2] == [
        "Refused calls, and what refused them:",
        "  seccomp    mount EPERM, \\x1b[2J, 1×: a filter",
    ]
    assert lines[-1] == "  and 2 more: `refusals` in the report"
    few = list(refusal_lines(report(seen(*noise, filtered)), CATALOG, most=3))
    assert few[-1] == "  and 7 more: -v shows them, and `refusals` in the report"
    assert list(refusal_lines(report(seen()), CATALOG)) == []


@pytest.mark.parametrize(("status", "shown"), [(0, False), (1, True)])
def test_a_page_shows_what_modes_refused_where_the_run_failed(status: int, shown: bool) -> None:
    """It may be why; else any search for a file meets such refusals."""
    refused = told("openat", "EACCES", RefusedBy.MODE, "web", 1, "the mode of /etc/shadow")
    run = seen(refused, exit_status=status, succeeded=status == 0)
    text = "\n".join(proposal_text(report(run), CATALOG, None))
    assert ("the mode of /etc/shadow" in text) is shown


def test_a_report_keeps_what_was_seen_so_that_a_better_catalog_judges_it_again() -> None:
    recording = seen(replace(call("sethostname", "EPERM", HOST_NAME), count=4))
    written = dump_recording(recording, CATALOG)
    assert [(item["by"], item["count"]) for item in written["refusals"]] == [("capability", 4)]
    again = load_recording(written)
    assert again == recording
    better = SiteRule("x", ("__do_sys_sethostname",), Meaning.ADVISORY, "asked in vain")
    changed = Catalog(CATALOG.folder)
    changed.__dict__["sites"] = sites_of((better, *SITES.rules))
    (judged,) = refusals(again, changed, None)
    assert (judged.by, judged.count) == (RefusedBy.UNKNOWN, 4)


def test_an_older_report_that_keeps_the_judgement_alone_is_taken_at_its_word() -> None:
    recording = seen(call("sethostname", "EPERM", HOST_NAME), checks=RECORDING.checks)
    written = dump_recording(recording, CATALOG)
    older = {key: value for key, value in written.items() if key not in ("refused_calls", "audit")}
    again = load_recording(older)
    assert refusals(again, CATALOG, CONFINED) == refusals(recording, CATALOG, None)
    assert dump_recording(again, CATALOG)["refusals"] == written["refusals"]


def test_a_netlink_request_is_refused_in_the_message_that_answers_it_and_only_a_check_tells() -> (
    None
):
    asked = check("NET_ADMIN", "netlink_capable rtnetlink_rcv_msg netlink_sendmsg", "sendmsg")
    recording = seen(checks=(replace(asked, granted=False, count=3),))
    (judged,) = refusals(recording, CATALOG, None)
    assert (judged.syscall, judged.errno, judged.count) == ("sendmsg", "EPERM", 3)
    retried = replace(recording, host=replace(HOST, observer="tracepoint+retry"))
    assert refusals(retried, CATALOG, None) == ()


def test_what_the_audit_told_names_who_refused() -> None:
    heard = AuditDenial("openat", "EACCES", "x", RefusedBy.MAC, "AppArmor", True, 1)
    twice = replace(call("openat", "EACCES"), count=2)
    judged = refusals(seen(twice, audit=(heard,)), CATALOG, None)
    assert {(item.by, item.count) for item in judged} == {
        (RefusedBy.UNKNOWN, 1),
        (RefusedBy.MAC, 1),
    }


def test_who_gave_it_up_itself_is_not_told_that_it_is_missing() -> None:
    """sshd tries whether it can become root again, and is refused as it expects."""
    known = call("sethostname", "EPERM", HOST_NAME)
    caps = frozenset({Cap.parse("SYS_ADMIN")})
    assert refusal(known, CATALOG, None).evidence.endswith("SYS_ADMIN was checked and is missing")
    assert refusal(known, CATALOG, None, caps).evidence.endswith(
        "SYS_ADMIN was checked and had been given up by the program itself"
    )


def test_a_profile_hides_what_a_program_then_gives_up() -> None:
    """named keeps of its capabilities those that capget(2) shows, and AppArmor takes some away."""
    known = replace(call("sethostname", "EPERM", HOST_NAME), program="named")
    caps = frozenset({Cap.parse("SYS_ADMIN")})
    confined = Mac("apparmor", "named", "enforce")
    shown = refusal(known, CATALOG, confined, caps).evidence
    assert "by the program itself: perhaps because AppArmor's profile named does not" in shown
    complains, helper = replace(confined, mode="complain"), replace(known, program="cp")
    for said in refusal(known, CATALOG, complains, caps), refusal(helper, CATALOG, confined, caps):
        assert said.evidence.endswith("given up by the program itself")
