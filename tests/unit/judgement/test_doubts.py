"""A granted check that the set leaves out is a doubt, unless it surely has no effect."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from capadvise.judgement.conclusion import Standing, conclude_report, standing_of
from capadvise.judgement.report import Report
from capadvise.model.caps import parse_set
from capadvise.model.recording import Check, Namespace, Phase
from capadvise.model.workload import Workload
from capadvise.report.dump import dump
from capadvise.report.load import load_recording
from capadvise.report.text import proposal_text
from tests.support import schema
from tests.support.recordings import CATALOG, check, proven, report, report_of
from tests.support.standings import CHOWN

LINK = "ns_capable ptrace_may_access proc_fd_access_allowed call_proc_get_link"
OPENED = "capable_wrt_inode_uidgid generic_permission inode_permission"
SIGNAL_0 = check(
    "KILL", "ns_capable check_kill_permission", "kill", args=(("signal", 0),), detail="signal 0"
)
ALGORITHM = check("NET_ADMIN", "ns_capable do_tcp_setsockopt", "setsockopt", args=(("name", 13),))
BUFFER = check("NET_ADMIN", "ns_capable sk_setsockopt", "setsockopt", args=(("name", 33),))
ACCESS = check("DAC_OVERRIDE", f"{OPENED} do_faccessat", "faccessat2")
NAMES = check("SYS_ADMIN", "ns_capable simple_xattr_list shmem_listxattr", "listxattr")
ADDRESSES = check("SYSLOG", "capable kallsyms_show_value kallsyms_open", "openat")
TRUSTED = check("SYS_ADMIN", "capable xattr_permission vfs_setxattr", "setxattr", result=-95)
UNMOUNT = check("SYS_ADMIN", "ns_capable can_umount path_umount", "umount", result=-22)
SEGMENT = check("IPC_LOCK", "ns_capable shmctl_do_lock ksys_shmctl", "shmctl")
APPENDED = check("FSETID", "capable setattr_should_drop_suidgid file_remove_privs_flags", "write")
READ_LINK = check("SYS_PTRACE", LINK, "readlink", program="python3")
THROUGH_LINK = replace(READ_LINK, syscall="openat")
STATE = check("SYS_PTRACE", "ns_capable ptrace_may_access do_task_stat", "read")
AUDIT = check("AUDIT_WRITE", "netlink_capable audit_netlink_ok audit_receive_msg", "sendto")
SETTING = check("NET_ADMIN", "ns_capable net_ctl_permissions", "openat")
LATE = replace(CHOWN, phase=Phase.STOP)

LISTED = {"proc_scanners": frozenset({"python3"}), "proc_seekers": frozenset({"python3"})}
DOUBTFUL: list[tuple[Check, dict[str, Any], str, str]] = [
    (SIGNAL_0, {}, "kill, signal 0, by nginx", "signal 0"),
    (ALGORITHM, {}, "setsockopt, by nginx", "TCP_CONGESTION"),
    (BUFFER, {}, "setsockopt, by nginx", "buffers beyond the limit"),
    (ACCESS, {}, "faccessat2, by nginx", "a yes from access(2)"),
    (NAMES, {}, "listxattr, by nginx", "trusted"),
    (ADDRESSES, {}, "openat, by nginx", "addresses"),
    (TRUSTED, {}, "setxattr, by nginx", "failed anyway, with ENOTSUP"),
    (UNMOUNT, {}, "umount, by nginx", "failed anyway, with EINVAL"),
    (SEGMENT, {}, "shmctl, by nginx", "if it fails with EPERM"),
    (APPENDED, {}, "write, by nginx", "set-id bits"),
    (THROUGH_LINK, LISTED, "openat, by python3", "lists all processes"),
    (READ_LINK, LISTED | {"proc_seekers": frozenset()}, "readlink, by python3", "none in parti"),
    (STATE, {"proc_state_seekers": frozenset({"nginx"})}, "read, by nginx", "some fields of"),
    (AUDIT, {}, "sendto, by nginx", "if it fails with EPERM"),
    (replace(SETTING, uid=33), {}, "openat, by nginx", "as a user other than root"),
    (LATE, {}, "chown, uid 33, by nginx", "while it was being stopped"),
]


@pytest.mark.parametrize(("seen", "fields", "about", "why"), DOUBTFUL)
def test_a_doubt_names_the_capability_the_call_and_the_reason(
    seen: Check, fields: dict[str, Any], about: str, why: str
) -> None:
    judged = report_of(seen, **fields)
    assert judged.proposal.recommended == frozenset()
    (doubt,) = judged.proposal.doubts
    assert (doubt.cap, doubt.about) == (seen.cap, about)
    assert why in doubt.why
    assert standing_of(judged) == (Standing.LIKELY, f"{seen.cap.short} ({about}) may be needed")


MEMORY = check("SYS_ADMIN", "security_vm_enough_memory_mm do_brk_flags", "brk", result=None)
MODE = check(
    *("FSETID", "capable_wrt_inode_uidgid setattr_prepare chmod_common", "chmod"),
    args=(("mode", 0o644),),
)
CERTAIN: list[tuple[Check, dict[str, Any]]] = [
    (MEMORY, {}),
    (MODE, {}),
    (SETTING, {}),
    (check("SETPCAP", "ns_capable cap_capset", "capset"), {}),
    (check("SYS_MODULE", "capable dev_load", "ioctl"), {}),
    (STATE, {}),
    (STATE, {"proc_state_seekers": frozenset({"ps"})}),
    (check("SETUID", "ns_capable __sys_setuid", "setuid", args=(("changes", 0),)), {}),
    (replace(SIGNAL_0, granted=False), {}),
    (replace(TRUSTED, ns=Namespace.CHILD), {}),
    (replace(UNMOUNT, result=-1), {"host": replace(report_of().recording.host, observer="retry")}),
    (THROUGH_LINK, LISTED | {"proc_seekers": frozenset()}),
    (AUDIT, {"imports": frozenset({("nginx", "pam_start")})}),
]


@pytest.mark.parametrize(("seen", "fields"), CERTAIN)
def test_what_can_have_no_effect_is_no_doubt(seen: Check, fields: dict[str, Any]) -> None:
    judged = report_of(seen, **fields)
    assert judged.proposal.doubts == ()
    assert standing_of(judged) == (Standing.RECORDED, None)


def test_nothing_in_the_set_is_doubtful() -> None:
    needed = replace(SIGNAL_0, args=(("signal", 15),), detail="SIGTERM")
    assert report_of(SIGNAL_0, needed).proposal.doubts == ()


def test_a_doubt_that_another_member_of_the_set_answers_is_none() -> None:
    """The kernel checks DAC_READ_SEARCH first, then DAC_OVERRIDE, which the set holds."""
    missing = check("DAC_READ_SEARCH", f"{OPENED} link_path_walk", "openat", result=-2)
    writes = check("DAC_OVERRIDE", f"{OPENED} may_open", "openat")
    assert report_of(missing).proposal.doubts
    assert report_of(missing, writes).proposal.doubts == ()


def test_a_lister_is_in_doubt_where_nothing_tells_how_many_it_looked_into() -> None:
    few = report_of(THROUGH_LINK, proc_scanners=LISTED["proc_scanners"])
    many = report_of(replace(THROUGH_LINK, count=200), proc_scanners=LISTED["proc_scanners"])
    assert few.proposal.doubts
    assert many.proposal.doubts == ()


def test_a_program_that_reads_its_own_sets_may_miss_any_capability() -> None:
    judged = report_of(own_set_readers=(("caddy", frozenset()),))
    (doubt,) = judged.proposal.doubts
    assert (doubt.cap, doubt.about) == (None, "caddy reads its own sets")
    said = "a capability (caddy reads its own sets) may be needed"
    assert standing_of(judged) == (Standing.LIKELY, said)
    document = dump(judged, CATALOG)
    schema.report().validate(document)
    assert document["conclusion"]["doubts"] == [
        {"cap": None, "about": doubt.about, "why": doubt.why}
    ]
    again = load_recording(document["recordings"][0])
    assert again.own_set_readers == judged.recording.own_set_readers


def test_a_program_that_asks_for_one_of_its_bounding_set_may_miss_that_one() -> None:
    asks = (("ask", parse_set(["SYS_TIME"])),)
    (doubt,) = report_of(own_set_readers=asks).proposal.doubts
    assert doubt.cap is not None
    assert doubt.cap.short == "SYS_TIME"
    assert "ask looks whether it holds it" in doubt.why


def test_io_uring_leaves_memory_and_attributes_in_doubt_too() -> None:
    doubtful = {doubt.cap for doubt in report_of(io_uring=True).proposal.doubts}
    assert parse_set(["IPC_LOCK", "SYS_ADMIN"]) <= doubtful


def test_trials_settle_doubts() -> None:
    judged = report_of(SIGNAL_0, own_set_readers=(("caddy", frozenset()),))
    tried = proven(judged, frozenset())
    assert tried.proposal.doubts == ()
    assert conclude_report(tried, CATALOG).standing in (Standing.PROVEN_MINIMAL, Standing.PROVEN)


def stopped(**fields: Any) -> Report:
    """A daemon without a health check, which its user stopped."""
    given = report(replace(report_of(CHOWN).recording, interrupted=True, succeeded=None, **fields))
    return replace(given, workload=Workload())


def test_a_daemon_that_served_until_it_was_stopped_has_shown_that_it_works() -> None:
    assert standing_of(stopped())[0] is Standing.LIKELY
    assert standing_of(stopped(serving=True)) == (Standing.RECORDED, None)


def test_the_page_names_what_may_be_needed_and_does_not_call_it_incidental() -> None:
    text = "\n".join(proposal_text(report_of(SIGNAL_0), CATALOG, None, columns=110))
    assert "nginx most likely needs no capability" in text
    assert "May be needed: KILL (kill, signal 0, by nginx): without it, the program only" in text
    assert "incidental" not in text


def test_many_doubts_are_counted_in_the_headline() -> None:
    judged = report_of(SIGNAL_0, ALGORITHM, ADDRESSES, SEGMENT)
    assert standing_of(judged)[1] == (
        "KILL (kill, signal 0, by nginx), NET_ADMIN (setsockopt, by nginx) and 2 more may be needed"
    )
    text = "\n".join(proposal_text(judged, CATALOG, None, columns=110))
    assert text.count("May be needed:") == 3
    assert "And 1 more that may be needed: -v shows them." in text


def test_each_rule_that_is_left_out_is_harmless_or_says_what_is_lost() -> None:
    for rule in CATALOG.sites.rules:
        left_out = rule.when is not None or rule.meaning in ("optional", "advisory", "looking")
        assert not left_out or rule.harmless or rule.lost, rule.id
