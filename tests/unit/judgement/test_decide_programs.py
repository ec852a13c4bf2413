"""Needs that are decided by what else the program does: what most programs go on without, and which
ones do not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from capadvise.catalog import default
from capadvise.judgement.decide import Verdict, decide
from capadvise.judgement.judge import WHILE_STOPPED
from capadvise.model.caps import Cap, parse_set
from capadvise.model.recording import Check, Phase
from tests.support import recordings
from tests.support.call_sites import CHECK, EPERM, FACTS, INCIDENTAL, NEEDED, at, recorded
from tests.support.recordings import FULL


@pytest.mark.parametrize(("settings", "wanted"), [(60, set()), (1, {"CAP_MAC_ADMIN"})])
def test_a_hidden_setting_of_apparmor_is_needed_by_who_wants_that_one(
    settings: int, wanted: set[str]
) -> None:
    """Linux 5.10, whose policy_admin_capable() loads profiles, too."""
    hidden = at("policy_admin_capable", cap=Cap(33), syscall="read")
    hidden = replace(hidden, site=("ns_capable", *hidden.site, "apparmor_dointvec"))
    other = replace(at("net_ctl_permissions", cap=Cap(12)), count=settings)
    proposed = decide(recorded(hidden, other), default()).recommended
    assert {cap.name for cap in proposed} == wanted


def test_who_stops_processes_of_others_may_need_to() -> None:
    """tini cannot hand on SIGTERM without; apache2 ends, and its workers see that."""
    site = ("ns_capable", "check_kill_permission", "group_send_sig_info")
    sends = replace(at("x", cap=Cap(5), syscall="kill", result=0, phase=Phase.STOP), site=site)
    sent = replace(sends, args=(("signal", 15), ("foreign", 0)))
    need = decide(recorded(sent), default()).need(Cap(5))
    assert need.verdict is INCIDENTAL
    assert need.uncertain == WHILE_STOPPED
    continued = replace(sent, args=(("signal", 18), ("foreign", 0), ("same_session", 1)))
    need = decide(recorded(sent, continued), default()).need(Cap(5))
    assert need.uncertain == WHILE_STOPPED


def test_sigcont_within_a_session_needs_nothing() -> None:
    site = ("ns_capable", "check_kill_permission", "group_send_sig_info")
    sends = replace(at("x", cap=Cap(5), syscall="kill", result=0), site=site)
    for same, verdict in ((1, INCIDENTAL), (0, NEEDED)):
        sent = replace(sends, args=(("signal", 18), ("foreign", 0), ("same_session", same)))
        assert decide(recorded(sent), default()).need(Cap(5)).verdict is verdict


NAMESPACES = ("ns_capable", "copy_namespaces", "copy_process")
NEWNS, NEWIPC, NEWNET = 0x00020000, 0x08000000, 0x40000000


@pytest.mark.parametrize(
    ("flags", "also", "wanted"),
    [
        (NEWIPC, None, set()),
        (NEWNET, None, set()),
        (NEWIPC | NEWNS, None, {"CAP_SYS_ADMIN"}),
        (None, None, {"CAP_SYS_ADMIN"}),
        (NEWIPC, at("__x64_sys_sethostname", cap=Cap(21)), {"CAP_SYS_ADMIN"}),
        (NEWNET, at("dev_ioctl", cap=Cap(16), syscall="ioctl"), {"CAP_SYS_ADMIN"}),
    ],
)
def test_namespaces_that_only_isolate_children_are_likely_optional(
    flags: int | None, also: Check | None, wanted: set[str]
) -> None:
    args = () if flags is None else (("flags", flags),)
    clone = replace(CHECK, cap=Cap(21), site=NAMESPACES, syscall="clone", args=args)
    proposal = decide(recorded(clone, *[also] * bool(also)), default())
    assert {cap.name for cap in proposal.recommended} - {"CAP_SYS_MODULE"} == wanted
    uncertain = proposal.need(Cap(21)).uncertain
    assert ("likely optional" in (uncertain or "")) is ("CAP_SYS_ADMIN" not in wanted)


@pytest.mark.parametrize(("cmd", "optional"), [(0x1261, True), (0x125F, False), (None, False)])
def test_flushing_a_block_device_is_likely_optional(cmd: int | None, optional: bool) -> None:
    """BLKFLSBUF: photorec and mkfs.xfs flush what they work on; BLKRRPART is no flush."""
    args = () if cmd is None else (("cmd", cmd),)
    asked = replace(at("blkdev_common_ioctl", cap=Cap(21), syscall="ioctl"), args=args)
    proposal = decide(recorded(asked), default())
    assert (Cap(21) in proposal.recommended) is not optional
    assert ("likely optional" in (proposal.need(Cap(21)).uncertain or "")) is optional


def test_who_executes_another_program_in_new_namespaces_is_there_to_isolate_it() -> None:
    """chrome-sandbox; vsftpd, which isolates its own workers, executes nothing."""
    clone = replace(CHECK, cap=Cap(21), site=NAMESPACES, syscall="clone", args=(("flags", NEWNET),))
    for isolators in ({CHECK.program}, {"another"}):
        alone = recorded(clone, isolators=frozenset(isolators))
        wanted = {"SYS_ADMIN"} if CHECK.program in isolators else set()
        assert {cap.short for cap in decide(alone, default()).recommended} == wanted


def test_who_logs_by_itself_and_gives_a_terminal_needs_to_log() -> None:
    """sshd; su lets PAM log, and goes on when that is refused."""
    logs = replace(CHECK, cap=Cap(29), site=("ns_capable", "audit_receive_msg"))
    gives = replace(CHECK, cap=Cap(0), site=("ns_capable", "setattr_prepare", "simple_setattr"))
    own = {"imports": frozenset({("p", "audit_log_acct_message")})}

    def wanted(*checks: Check, **more: object) -> set[str]:
        return {c.short for c in decide(recorded(*checks, **more), default()).recommended}

    assert wanted(logs, gives, **own) == {"AUDIT_WRITE", "CHOWN"}
    assert wanted(logs, **own) == set()
    assert wanted(logs, gives) == {"CHOWN"}
    controls = {"imports": own["imports"] | {("p", "audit_can_control")}}
    assert wanted(logs, **controls) == {"AUDIT_WRITE", "AUDIT_CONTROL"}


def test_who_is_told_to_leave_access_times_alone_needs_to() -> None:
    """tar --atime-preserve=system; git tries again without O_NOATIME."""
    opens = replace(CHECK, cap=Cap(3), site=("ns_capable", "may_open"), syscall="openat")
    told = {"access_time_keepers": frozenset({"p"})}
    assert decide(recorded(opens, **told), default()).recommended == {Cap(3)}
    assert not decide(recorded(opens), default()).recommended


@pytest.mark.parametrize(
    ("call", "ids", "wanted"),
    [
        ("setuid", {"uid": 173}, {1, 7}),
        ("setresuid", {"ruid": 173, "euid": 173, "suid": 173}, {1, 7}),
        ("setuid", {"uid": 0}, {7}),
        ("setreuid", {"ruid": 173, "euid": 0xFFFFFFFF}, {7}),
        ("setresuid", {"ruid": 0xFFFFFFFF, "euid": 173, "suid": 0xFFFFFFFF}, {7}),
    ],
)
def test_who_becomes_another_user_may_insist_on_what_access_says(
    call: str, ids: dict[str, int], wanted: set[int]
) -> None:
    """yadifad ends where access(2) says no before it becomes another user; fusermount, which comes
    back to its own, and bwrap go on."""
    asks = replace(
        CHECK, cap=Cap(1), site=("generic_permission", "inode_permission", "do_faccessat")
    )
    becomes = replace(
        CHECK,
        cap=Cap(7),
        site=("ns_capable_setid", f"__sys_{call}"),
        syscall=call,
        args=(*ids.items(), ("changes", 1)),
    )
    assert decide(recorded(asks, becomes), default()).recommended == set(map(Cap, wanted))
    assert not decide(recorded(asks), default()).recommended


@pytest.mark.parametrize(
    ("call", "running", "verdict"),
    [
        ("prlimit64", "p", Verdict.OPTIONAL),
        ("prlimit64", "other", NEEDED),
        ("ioctl", "p", NEEDED),  # it may wait for the interface that it could not set up
    ],
)
def test_who_serves_with_a_lower_limit_does_without_a_higher_one(
    call: str, running: str, verdict: Verdict
) -> None:
    refused = replace(at("decides", granted=False, result=EPERM), syscall=call)
    lacking = recorded(
        refused,
        permitted=FULL - {Cap(13)},
        succeeded=None,
        still_running=frozenset({running}),
    )
    assert decide(lacking, FACTS).needs[0].verdict is verdict


@pytest.mark.parametrize(("result", "wanted"), [(0, ["DAC_OVERRIDE"]), (-2, []), (-13, [])])
def test_what_lets_a_program_be_executed_is_needed(result: int, wanted: list[str]) -> None:
    """PATH may lead past directories that are shut; the program in one of them is not passed by."""
    site = "generic_permission inode_permission link_path_walk path_openat do_open_execat"
    seen = recordings.check("DAC_READ_SEARCH", site, "execve", result=result)
    proposal = decide(recordings.recording(seen), recordings.CATALOG)
    assert proposal.recommended == parse_set(wanted)


def test_what_a_tracer_is_asked_at_an_exec_is_still_no_need() -> None:
    seen = recordings.check("SYS_PTRACE", "ptracer_capable begin_new_exec", "execve", result=0)
    assert not decide(recordings.recording(seen), recordings.CATALOG).recommended


@pytest.mark.parametrize(("interrupted", "verdict"), [(False, NEEDED), (True, INCIDENTAL)])
def test_a_run_that_was_stopped_did_not_fail_for_what_was_refused(
    interrupted: bool, verdict: Verdict
) -> None:
    """Writing oom_score_adj fails without SYS_RESOURCE, and daemons usually go on."""
    refused = at("__set_oom_adj", cap=Cap(24), granted=False, result=-13, syscall="write")
    lacking = {"permitted": FULL - {Cap(24)}, "succeeded": False, "interrupted": interrupted}
    proposal = decide(recorded(refused, **lacking), default())  # type: ignore[arg-type]
    assert proposal.need(Cap(24)).verdict is verdict
