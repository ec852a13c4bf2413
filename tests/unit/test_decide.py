"""The table from call site to verdict, and the set that comes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from capadvise.caps import Cap, CapSet, parse_set
from capadvise.catalog import Catalog, default
from capadvise.catalog.sites import Sites, parse_rules
from capadvise.decide import Proof, Verdict, decide, decide_all
from capadvise.judge import WHILE_STOPPED
from capadvise.recording import Check, Held, Lost, Namespace, Origin, Phase, Recording
from capadvise.report.text import drops_privileges
from tests.support import recordings
from tests.support.recordings import FULL

RULES = """
- {id: decides, at: [decides], meaning: decides, text: doing it, source: test}
- {id: list, at: [list], meaning: decides, text: t, source: test, answers: [ENOENT],
   co_syscalls: [perf_event_open]}
- {id: cond, at: [cond], meaning: decides, text: t, source: test, when: {arg: cmd, in: [7]}}
- {id: either, at: [either], meaning: either-or, text: t, source: test,
   alternatives: [CAP_SYS_ADMIN]}
- {id: read, at: [read], caps: [CAP_DAC_READ_SEARCH], meaning: either-or, text: reading,
   source: test, alternatives: [CAP_DAC_OVERRIDE]}
- {id: write, at: [read], caps: [CAP_DAC_OVERRIDE], meaning: decides, text: writing, source: test}
- {id: silent, at: [silent], meaning: silent, text: t, lost: a bit, source: test,
   when: {arg: mode, mask: 1024}}
- {id: self, at: [self], meaning: self-restricting, text: t, source: test}
- {id: optional, at: [optional], meaning: optional, text: t, lost: a field, source: test}
- {id: advisory, at: [advisory], meaning: advisory, text: t, source: test}
- {id: looking, at: [looking], meaning: looking, text: t, lost: a link, source: test}
- {id: mapping, at: [mapping], meaning: decides, text: t, implies: [CAP_SETFCAP], source: test}
- {id: foreign, at: [foreign], meaning: foreign-credentials, text: t, source: test}
"""
CHECK = Check(1, Cap(13), True, Namespace.TARGET, ("ns_capable", "decides"), "p", 1, 1, 0.0)


class Facts(Catalog):
    """The rules above, and the shipped preference list."""

    def __init__(self) -> None:
        super().__init__(Path(__file__).parents[2] / "catalog")
        self.__dict__["sites"] = Sites.of(parse_rules(Path("test"), RULES))


FACTS = Facts()


def recording(*checks: Check, permitted: CapSet = FULL, **more: object) -> Recording:
    held = Held(permitted, permitted, frozenset())
    return recordings.recording(*checks, **{"held": held, "succeeded": None, **more})


def at(site: str, **change: object) -> Check:
    return replace(CHECK, site=("ns_capable", site), **change)  # type: ignore[arg-type]


EPERM = -1
USED, ADVISORY, DENIED = Verdict.USED, Verdict.ADVISORY, Verdict.DENIED


@pytest.mark.parametrize(
    ("check", "verdict"),
    [
        (at("decides"), USED),
        (at("decides", result=0), USED),
        (at("decides", result=-22), ADVISORY),
        (at("decides", result=-16), USED),
        (at("decides", result=-2), ADVISORY),
        (at("list", result=-2), USED),
        (at("decides", granted=False, result=EPERM), DENIED),
        (at("decides", granted=False, result=0), DENIED),
        (at("decides", ns=Namespace.CHILD), ADVISORY),
        (at("decides", ns=Namespace.HOST, granted=False, result=EPERM), DENIED),
        (at("decides", phase=Phase.STOP), ADVISORY),
        (at("cond"), USED),
        (at("cond", args=(("cmd", 7),)), USED),
        (at("cond", args=(("cmd", 8),)), ADVISORY),
        (at("either"), USED),
        (at("either", granted=False), DENIED),
        (at("silent", args=(("mode", 0o2755),)), USED),
        (at("silent", args=(("mode", 0o2755),), granted=False), USED),
        (at("silent", args=(("mode", 0o755),)), ADVISORY),
        (at("silent"), USED),
        (at("self"), USED),
        (at("self", granted=False), DENIED),
        (at("optional"), ADVISORY),
        (at("advisory"), ADVISORY),
        (at("foreign"), ADVISORY),
        (at("somewhere else"), USED),
        (at("somewhere else", granted=False, result=EPERM), DENIED),
    ],
    ids=lambda value: "-".join(value.site[1:]) if isinstance(value, Check) else str(value),
)
def test_verdict(check: Check, verdict: Verdict) -> None:
    (need,) = decide(recording(check), FACTS).needs
    assert need.verdict is verdict
    assert need.cap in decide(recording(check), FACTS).recommended or verdict is not USED


def test_a_refusal_of_what_the_target_could_not_have_is_a_need() -> None:
    refused = at("decides", granted=False, result=EPERM)
    lacking = recording(refused, permitted=FULL - {Cap(13)})
    assert decide(lacking, FACTS).needs[0].verdict is USED
    went_on = recording(replace(refused, result=0), permitted=FULL - {Cap(13)})
    assert decide(went_on, FACTS).needs[0].verdict is DENIED
    request = replace(refused, result=None, site=(*refused.site, "netlink_sendmsg"))
    answered = recording(request, permitted=FULL - {Cap(13)})
    assert decide(answered, FACTS).needs[0].verdict is USED


def no(site: str, cap: Cap, **change: object) -> Check:
    return at(site, cap=cap, granted=False, result=EPERM, **change)


@pytest.mark.parametrize(
    ("checks", "chosen", "instead"),
    [
        ([no("read", Cap(2)), no("read", Cap(1))], "CAP_DAC_OVERRIDE", [(Cap(2),)]),
        ([no("read", Cap(2)), no("read", Cap(1), count=2)], "CAP_DAC_OVERRIDE", []),
        ([no("either", Cap(39)), no("either", Cap(21))], "CAP_BPF", [(Cap(21),)]),
        ([no("either", Cap(39)), no("decides", Cap(21))], "CAP_SYS_ADMIN", []),
    ],
)
def test_a_refused_question_and_the_one_that_follows_it_are_one(
    checks: list[Check], chosen: str, instead: list[tuple[Cap, ...]]
) -> None:
    proposal = decide(recording(*checks, permitted=frozenset()), FACTS)
    (cap,) = proposal.recommended
    assert cap.name == chosen
    assert list(proposal.need(cap).alternatives) == instead


@pytest.mark.parametrize(
    ("scanners", "wanted"), [(frozenset({"p"}), set()), (frozenset(), {"CAP_SYS_PTRACE"})]
)
def test_who_was_seen_listing_all_processes_looks_at_no_chosen_one(
    scanners: frozenset[str], wanted: set[str]
) -> None:
    """Counts tell where it was not recorded: on a small machine all are few."""
    known = recording(looking("p"), proc_scanners=scanners)
    assert {cap.name for cap in decide(known, FACTS).recommended} == wanted


@pytest.mark.parametrize(("settings", "wanted"), [(60, set()), (1, {"CAP_MAC_ADMIN"})])
def test_a_hidden_setting_of_apparmor_is_needed_by_who_wants_that_one(
    settings: int, wanted: set[str]
) -> None:
    """Linux 5.10, whose policy_admin_capable() loads profiles, too."""
    hidden = at("policy_admin_capable", cap=Cap(33), syscall="read")
    hidden = replace(hidden, site=("ns_capable", *hidden.site, "apparmor_dointvec"))
    other = replace(at("net_ctl_permissions", cap=Cap(12)), count=settings)
    proposed = decide(recording(hidden, other), default()).recommended
    assert {cap.name for cap in proposed} == wanted


def test_of_what_was_dropped_nobody_says_that_it_listed() -> None:
    """Who went through /proc may have been told of one process."""
    state = at("do_task_stat", program="q")
    for checks in ((looking("p"),), (looking("q"), state)):
        unknown = recording(*checks, proc_scanners=frozenset({"p"}), lost=Lost(lookups=1))
        need = decide(unknown, FACTS).need(Cap.parse("SYS_PTRACE"))
        assert need.verdict is Verdict.USED
        assert "lookups in /proc were dropped" in str(need.uncertain)


def test_who_lists_sockets_tells_whose_they_are_where_it_can() -> None:
    """ss -p; lsof and fuser look into descriptors for their own sake."""
    link, fd = at("looking", cap=Cap(19)), at("read", cap=Cap(2))
    fd = replace(fd, site=("ns_capable", "read", "proc_fd_permission"))
    sockets = at("tcp_diag_dump", cap=Cap(12), granted=False)
    names = {cap.name for cap in decide(recording(link, fd, sockets), FACTS).recommended}
    assert names == set()
    names = {cap.name for cap in decide(recording(link, fd), FACTS).recommended}
    assert names == {"CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"}


def test_the_descriptors_of_ones_own_processes_are_looked_at_for_their_sake_too() -> None:
    """fuser, where all processes are root's: the kernel asks nobody, unless they hold more."""
    looks = replace(
        at("x", cap=Cap(19), syscall="statx"),
        site=(),
        origin=Origin.HOLDER,
        args=(("descriptor", 1),),
    )
    sockets = at("tcp_diag_dump", cap=Cap(12), granted=False)
    sets = []
    for checks in ((looks,), (replace(looks, args=()),), (looks, sockets)):
        seen = recording(*checks, proc_scanners=frozenset({"p"}))
        sets.append({cap.short for cap in decide(seen, default()).recommended})
    assert sets == [{"SYS_PTRACE"}, set(), set()]


def test_who_counts_descriptors_of_all_processes_is_not_there_for_their_links() -> None:
    """monit, which reads their io as well."""
    fd = at("x", cap=Cap(2))
    fd = replace(fd, site=("ns_capable", "generic_permission", "proc_fd_permission"))
    asked = at("x", cap=Cap(19))
    sites = ("do_io_accounting", "proc_pid_readlink")
    sets = []
    for place in sites:
        there = replace(asked, site=("ns_capable", "__ptrace_may_access", place))
        lists = recording(fd, there, proc_scanners=frozenset({"p"}))
        sets.append({cap.short for cap in decide(lists, default()).recommended})
    assert sets == [{"DAC_OVERRIDE"}, {"DAC_OVERRIDE", "SYS_PTRACE"}]


def test_who_stops_processes_of_others_may_need_to() -> None:
    """tini cannot hand on SIGTERM without; apache2 ends, and its workers see that."""
    site = ("ns_capable", "check_kill_permission", "group_send_sig_info")
    sends = replace(at("x", cap=Cap(5), syscall="kill", result=0, phase=Phase.STOP), site=site)
    sent = replace(sends, args=(("signal", 15), ("foreign", 0)))
    need = decide(recording(sent), default()).need(Cap(5))
    assert need.verdict is ADVISORY
    assert need.uncertain == WHILE_STOPPED
    continued = replace(sent, args=(("signal", 18), ("foreign", 0), ("same_session", 1)))
    need = decide(recording(sent, continued), default()).need(Cap(5))
    assert need.uncertain == WHILE_STOPPED


def test_sigcont_within_a_session_needs_nothing() -> None:
    site = ("ns_capable", "check_kill_permission", "group_send_sig_info")
    sends = replace(at("x", cap=Cap(5), syscall="kill", result=0), site=site)
    for same, verdict in ((1, ADVISORY), (0, USED)):
        sent = replace(sends, args=(("signal", 18), ("foreign", 0), ("same_session", same)))
        assert decide(recording(sent), default()).need(Cap(5)).verdict is verdict


def test_nobody_can_make_a_file_among_descriptors() -> None:
    """A shell that writes to /dev/stderr with O_CREAT; who may not search the folder is asked for
    DAC_READ_SEARCH first."""
    site = ("ns_capable", "generic_permission", "proc_fd_permission", "inode_permission")
    writes = replace(at("x", cap=Cap(1), syscall="openat"), site=site)
    refused = replace(writes, cap=Cap(2), granted=False)
    sets = [decide(recording(*seen), default()) for seen in ([writes], [refused, writes])]
    assert [{cap.short for cap in each.recommended} for each in sets] == [set(), {"DAC_OVERRIDE"}]


def test_a_debugger_asks_by_ptrace_where_a_file_is_refused() -> None:
    """It opens mem and auxv of the process that it traces; other files are its own business."""
    traces = replace(at("decides", cap=Cap(19)), site=("ns_capable", "decides", "ptrace_attach"))
    memory = at("looking", cap=Cap(19))
    memory = replace(memory, site=("ns_capable", "looking", "proc_mem_open", "mem_open"))
    opened = replace(at("write", cap=Cap(1)), site=("ns_capable", "read", "may_open"))
    wanted = {"CAP_SYS_PTRACE"}
    assert {c.name for c in decide(recording(traces, memory, opened), FACTS).recommended} == wanted
    more = replace(opened, count=2)
    names = {cap.name for cap in decide(recording(traces, memory, more), FACTS).recommended}
    assert names == {*wanted, "CAP_DAC_OVERRIDE"}
    auxv = replace(memory, site=(*memory.site[:-1], "auxv_open"))  # eu-stack has no other way
    names = {cap.name for cap in decide(recording(traces, auxv, opened), FACTS).recommended}
    assert names == {*wanted, "CAP_DAC_OVERRIDE"}


def test_who_lists_namespaces_looks_into_descriptors_for_more_of_them() -> None:
    """lsns: it needs to follow the links of the processes; who lists descriptors (fuser) needs
    both."""
    link, fd = at("call_proc_get_link", cap=Cap(19)), at("read", cap=Cap(2))
    fd = replace(fd, site=("ns_capable", "generic_permission", "proc_fd_permission"))
    leads = replace(fd, syscall="readlinkat")
    namespaces = replace(link, site=("ns_capable", "ptrace_may_access", "proc_ns_get_link"))
    socket = replace(at("sock_ioctl", cap=Cap(12)), args=(("cmd", 0x894C),), result=0)
    seen = (replace(link, count=40), fd, socket)
    many_namespaces = replace(namespaces, count=40)
    for many, wanted in (
        ((), {"DAC_OVERRIDE", "NET_ADMIN"}),
        ((many_namespaces,), set()),
        ((many_namespaces, leads), {"DAC_OVERRIDE", "NET_ADMIN"}),  # lsfd
    ):
        lists = recording(*seen, *many, proc_scanners=frozenset({"p"}))
        names = {cap.short for cap in decide(lists, default()).recommended}
        assert names == {"SYS_PTRACE", *wanted}


@pytest.mark.parametrize(
    ("beside", "verdict"),
    [
        ([], USED),  # ip netns pids
        ([at("do_task_stat", program="p", count=138)], ADVISORY),  # pstree
        ([at("call_proc_get_link", program="p", count=144)], ADVISORY),  # userdel
    ],
)
def test_who_looks_at_nothing_but_namespaces_is_there_for_them(
    beside: list[Check], verdict: Verdict
) -> None:
    namespaces = looking("p", count=135)
    namespaces = replace(namespaces, site=(*namespaces.site, "proc_ns_get_link"))
    lists = recording(namespaces, *beside, proc_scanners=frozenset({"p"}))
    assert decide(lists, FACTS).need(Cap(19)).verdict is verdict


def test_a_tracer_names_files_by_their_links() -> None:
    """strace; reptyr lists the descriptors, and is there for them."""
    traces = replace(at("x", cap=Cap(19)), site=("ns_capable", "__ptrace_may_access"))
    traces = replace(traces, site=(*traces.site, "ptrace_attach"))
    link = at("x", cap=Cap(2), syscall="readlink")
    link = replace(link, site=("ns_capable", "generic_permission", "proc_fd_permission"))
    listed = replace(link, site=(*link.site, "inode_permission", "may_open"), syscall="openat")
    names = {cap.short for cap in decide(recording(traces, link), default()).recommended}
    assert names == {"SYS_PTRACE"}
    for other in (listed, replace(link, syscall="openat")):  # a file that it opens, it uses
        names = {cap.short for cap in decide(recording(traces, link, other), default()).recommended}
        assert names == {"DAC_OVERRIDE", "SYS_PTRACE"}


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
    proposal = decide(recording(clone, *[also] * bool(also)), default())
    assert {cap.name for cap in proposal.recommended} - {"CAP_SYS_MODULE"} == wanted
    uncertain = proposal.need(Cap(21)).uncertain
    assert ("likely optional" in (uncertain or "")) is ("CAP_SYS_ADMIN" not in wanted)


@pytest.mark.parametrize(
    ("links", "state", "wanted"),
    [(0, 0, True), (12, 0, True), (0, 1, False), (400, 0, False)],
    ids=["smem", "memstat", "ps", "fuser"],
)
def test_who_lists_processes_for_their_maps_looks_into_them(
    links: int, state: int, wanted: bool
) -> None:
    def seen(times: int, *site: str) -> list[Check]:
        asked = at("__ptrace_may_access", cap=Cap(19))
        return [replace(asked, site=(*asked.site, *site), count=times)] * bool(times)

    checks = (
        *seen(13, "ptrace_may_access", "mm_access", "proc_mem_open", "pid_smaps_open"),
        *seen(links, "ptrace_may_access", "call_proc_get_link", "proc_pid_readlink"),
        *seen(state, "ptrace_may_access", "do_task_stat"),
    )
    proposal = decide(recording(*checks, proc_scanners=frozenset({CHECK.program})), default())
    assert (Cap(19) in proposal.recommended) is wanted


def test_a_check_whose_call_site_was_lost_is_taken_for_one_of_the_others() -> None:
    """A few of thousands of ps, while events were dropped; alone it can be anything."""
    lost = replace(CHECK, cap=Cap(19), site=(), syscall=None)
    state = replace(at("__ptrace_may_access", cap=Cap(19)), count=20_000)
    state = replace(state, site=(*state.site, "ptrace_may_access", "do_task_stat"))
    audited = replace(lost, origin=Origin.AUDIT)
    for checks, wanted in (
        ((state, lost), set()),
        ((lost,), {"SYS_PTRACE"}),
        ((state, audited), {"SYS_PTRACE"}),
    ):
        proposal = decide(recording(*checks, lost=Lost(9)), default())
        assert {cap.short for cap in proposal.recommended} == wanted


@pytest.mark.parametrize(("cmd", "optional"), [(0x1261, True), (0x125F, False), (None, False)])
def test_flushing_a_block_device_is_likely_optional(cmd: int | None, optional: bool) -> None:
    """BLKFLSBUF: photorec and mkfs.xfs flush what they work on; BLKRRPART is no flush."""
    args = () if cmd is None else (("cmd", cmd),)
    asked = replace(at("blkdev_common_ioctl", cap=Cap(21), syscall="ioctl"), args=args)
    proposal = decide(recording(asked), default())
    assert (Cap(21) in proposal.recommended) is not optional
    assert ("likely optional" in (proposal.need(Cap(21)).uncertain or "")) is optional


def test_who_executes_another_program_in_new_namespaces_is_there_to_isolate_it() -> None:
    """chrome-sandbox; vsftpd, which isolates its own workers, executes nothing."""
    clone = replace(CHECK, cap=Cap(21), site=NAMESPACES, syscall="clone", args=(("flags", NEWNET),))
    for isolators in ({CHECK.program}, {"another"}):
        alone = recording(clone, isolators=frozenset(isolators))
        wanted = {"SYS_ADMIN"} if CHECK.program in isolators else set()
        assert {cap.short for cap in decide(alone, default()).recommended} == wanted


def test_who_logs_by_itself_and_gives_a_terminal_needs_to_log() -> None:
    """sshd; su lets PAM log, and goes on when that is refused."""
    logs = replace(CHECK, cap=Cap(29), site=("ns_capable", "audit_receive_msg"))
    gives = replace(CHECK, cap=Cap(0), site=("ns_capable", "setattr_prepare", "simple_setattr"))
    own = {"imports": frozenset({("p", "audit_log_acct_message")})}

    def wanted(*checks: Check, **more: object) -> set[str]:
        return {c.short for c in decide(recording(*checks, **more), default()).recommended}

    assert wanted(logs, gives, **own) == {"AUDIT_WRITE", "CHOWN"}
    assert wanted(logs, **own) == set()
    assert wanted(logs, gives) == {"CHOWN"}
    roles = {"imports": frozenset({("p", "audit_log_user_message")})}  # sudo, which goes on
    assert wanted(logs, gives, **roles) == {"CHOWN"}
    controls = {"imports": own["imports"] | {("p", "audit_can_control")}}
    assert wanted(logs, **controls) == {"AUDIT_WRITE", "AUDIT_CONTROL"}


def test_who_is_told_to_leave_access_times_alone_needs_to() -> None:
    """tar --atime-preserve=system; git tries again without O_NOATIME."""
    opens = replace(CHECK, cap=Cap(3), site=("ns_capable", "may_open"), syscall="openat")
    told = {"access_time_keepers": frozenset({"p"})}
    assert decide(recording(opens, **told), default()).recommended == {Cap(3)}
    assert not decide(recording(opens), default()).recommended


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
    assert decide(recording(asks, becomes), default()).recommended == set(map(Cap, wanted))
    assert not decide(recording(asks), default()).recommended


def test_what_is_not_known_is_worded_from_the_call_and_unproven() -> None:
    check = at("mtu_store_new", syscall="write", detail="/sys/class/net/lo/mtu")
    (need,) = decide(recording(check), FACTS).needs
    assert need.reason == (
        "mtu_store_new in write(2) (/sys/class/net/lo/mtu), an unknown call site"
    )
    assert need.proof is Proof.NONE
    assert need.of_unknown_site


@pytest.mark.parametrize("site", ["silent", "somewhere else"])
def test_what_is_not_known_is_said(site: str) -> None:
    (need,) = decide(recording(at(site)), FACTS).needs
    assert need.uncertain


def test_a_capability_that_the_catalog_does_not_know_is_kept() -> None:
    proposal = decide(recording(at("decides", cap=Cap(55))), FACTS)
    assert [cap.name for cap in proposal.recommended] == ["CAP_55"]


READ, OVERRIDE, ADMIN, BPF = parse_set(["DAC_READ_SEARCH"]), Cap(1), Cap(21), Cap(39)


@pytest.mark.parametrize(
    ("checks", "chosen"),
    [
        ([at("read", cap=Cap(2))], ["CAP_DAC_OVERRIDE"]),
        ([at("read", cap=Cap(2)), at("read", cap=OVERRIDE)], ["CAP_DAC_OVERRIDE"]),
        ([at("read", cap=Cap(2)), at("decides", cap=Cap(2))], ["CAP_DAC_READ_SEARCH"]),
        ([at("either", cap=BPF)], ["CAP_BPF"]),
        ([at("either", cap=BPF), at("decides", cap=ADMIN)], ["CAP_SYS_ADMIN"]),
        ([at("read", cap=Cap(2), granted=False), at("read", cap=OVERRIDE)], ["CAP_DAC_OVERRIDE"]),
    ],
)
def test_either_or_questions_are_answered_together(checks: list[Check], chosen: list[str]) -> None:
    proposal = decide(recording(*checks), FACTS)
    assert sorted(cap.name for cap in proposal.recommended) == chosen
    for cap in proposal.recommended:
        assert proposal.need(cap).verdict is USED
        assert proposal.need(cap).evidence


def test_the_alternative_is_named() -> None:
    proposal = decide(recording(at("read", cap=Cap(2))), FACTS)
    assert proposal.need(OVERRIDE).alternatives == ((Cap(2),),)
    assert proposal.need(Cap(2)).verdict is ADVISORY


def test_a_use_outweighs_any_number_of_other_checks() -> None:
    many = [at("advisory", count=10**6), at("decides"), at("decides", ns=Namespace.CHILD)]
    (need,) = decide(recording(*many), FACTS).needs
    assert need.verdict is USED
    assert need.evidence[0].check.site[-1] == "decides"
    assert need.asked == 10**6 + 2


def test_one_use_that_gives_up_rights_is_enough_to_be_kept() -> None:
    (need,) = decide(recording(at("decides"), at("self")), FACTS).needs
    assert need.self_restricting
    assert [*drops_privileges(need)] == [
        "used to drop privileges: without it, the program may keep running privileged"
    ]
    tried = replace(need, lost_without="the workload fails")
    assert [*drops_privileges(tried)] == ["used to drop privileges"]


def test_a_set_of_its_own_is_proposed_and_uncertain() -> None:
    own = (("bird", parse_set(["NET_ADMIN"])),)
    proposal = decide(recording(fixed_capsets=own), FACTS)
    assert proposal.need(Cap(12)).verdict is USED
    assert "capset(2) with a fixed set" in str(proposal.need(Cap(12)).uncertain)
    assert proposal.recommended == parse_set(["NET_ADMIN"])


def test_what_a_good_run_was_refused_is_tolerated() -> None:
    refused = at("decides", granted=False, result=EPERM)
    lacking = recording(refused, permitted=FULL - {Cap(13)}, succeeded=True)
    assert decide(lacking, FACTS).needs[0].verdict is Verdict.TOLERATED
    assert decide(lacking, FACTS).recommended == frozenset()


@pytest.mark.parametrize(
    ("call", "running", "verdict"),
    [
        ("prlimit64", "p", Verdict.TOLERATED),
        ("prlimit64", "other", USED),
        ("ioctl", "p", USED),  # it may wait for the interface that it could not set up
    ],
)
def test_who_serves_with_a_lower_limit_does_without_a_higher_one(
    call: str, running: str, verdict: Verdict
) -> None:
    refused = replace(at("decides", granted=False, result=EPERM), syscall=call)
    lacking = recording(
        refused,
        permitted=FULL - {Cap(13)},
        succeeded=None,
        still_running=frozenset({running}),
    )
    assert decide(lacking, FACTS).needs[0].verdict is verdict


def looking(program: str, **change: object) -> Check:
    return at("looking", cap=Cap(19), program=program, **change)


@pytest.mark.parametrize(
    ("beside", "verdict"),
    [
        ([], USED),
        ([at("do_task_stat", program="p")], ADVISORY),
        ([at("do_task_stat", program="other")], USED),
        ([at("do_task_stat", program="p"), at("proc_fd_permission", program="p")], USED),
        ([at("call_proc_get_link", program="p", count=30)], USED),
        (
            [
                at("call_proc_get_link", program="p", count=30),
                at("proc_ns_readlink", program="p", count=10),
            ],
            ADVISORY,
        ),
        ([at("call_proc_get_link", program="other", count=400)], USED),
        (
            [
                at("call_proc_get_link", program="p", count=400),
                at("proc_fd_permission", program="p"),
            ],
            USED,
        ),
    ],
)
def test_who_looks_at_chosen_processes_needs_what_a_lister_does_not(
    beside: list[Check], verdict: Verdict
) -> None:
    proposal = decide(recording(looking("p"), *beside), FACTS)
    assert proposal.need(Cap(19)).verdict is verdict


@pytest.mark.parametrize(
    ("asked", "count", "verdict"),
    [("proc_mem_open", 9, ADVISORY), ("do_io_accounting", 9, ADVISORY), ("proc_mem_open", 8, USED)],
)
def test_a_lister_reads_files_of_the_processes_that_it_lists(
    asked: str, count: int, verdict: Verdict
) -> None:
    site = ("ns_capable", "read", "may_open")
    opened = replace(CHECK, cap=Cap(2), site=site, count=9, program="p")
    beside = at("do_task_stat", program="p"), at(asked, program="p", count=count)
    proposal = decide(recording(opened, *beside), FACTS)
    assert proposal.need(OVERRIDE if verdict is USED else Cap(2)).verdict is verdict


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


def test_what_is_asked_by_the_way_is_no_need() -> None:
    beside = at("optional", cap=Cap(38), syscall="perf_event_open")
    for program, verdict in (("p", ADVISORY), ("other", USED)):
        proposal = decide(recording(at("list"), replace(beside, program=program)), FACTS)
        assert proposal.need(Cap(13)).verdict is verdict


@pytest.mark.parametrize(("met", "verdict"), [(1, USED), (9, ADVISORY)])
def test_who_reads_the_maps_of_few_processes_was_told_of_them(met: int, verdict: Verdict) -> None:
    site = ("ns_capable", "looking", "mm_access", "pid_maps_open")
    beside = at("do_task_stat", program="p", count=met)
    proposal = decide(recording(replace(looking("p"), site=site), beside), FACTS)
    assert proposal.need(Cap(19)).verdict is verdict


def test_mapping_root_implies_what_no_check_asks_for() -> None:
    mapping = at("mapping", ns=Namespace.CHILD, uid=0)
    assert decide(recording(mapping), FACTS).recommended == parse_set(["SETFCAP"])
    assert decide(recording(replace(mapping, uid=1000)), FACTS).recommended == frozenset()
    assert (
        decide(recording(replace(mapping, ns=Namespace.TARGET)), FACTS).need(Cap(31)).verdict
        is Verdict.UNUSED
    )


@pytest.mark.parametrize(("interrupted", "verdict"), [(False, USED), (True, ADVISORY)])
def test_a_run_that_was_stopped_did_not_fail_for_what_was_refused(
    interrupted: bool, verdict: Verdict
) -> None:
    """Writing oom_score_adj fails without SYS_RESOURCE, and daemons usually go on."""
    refused = at("__set_oom_adj", cap=Cap(24), granted=False, result=-13, syscall="write")
    lacking = {"permitted": FULL - {Cap(24)}, "succeeded": False, "interrupted": interrupted}
    proposal = decide(recording(refused, **lacking), default())  # type: ignore[arg-type]
    assert proposal.need(Cap(24)).verdict is verdict


def test_losses_and_io_uring_are_cautions() -> None:
    proposal = decide(recording(lost=Lost(3, 4, 5), io_uring=True, interrupted=True), FACTS)
    assert len(proposal.cautions) == 5
    for cap in (2, 3):  # FOWNER: to delete from a sticky directory
        assert "io_uring" in str(proposal.need(Cap(cap)).uncertain)
    assert proposal.need(Cap(19)).uncertain == "events were dropped"


def test_a_need_says_when_and_how_often_it_was_seen() -> None:
    catalog, chown = recordings.CATALOG, Cap.parse("CHOWN")
    first, nothing = recordings.recording(recordings.CHOWN), recordings.recording()
    need = decide_all((first, replace(nothing, start=2)), catalog).need(chown)
    assert (need.only, need.seen) == ("only at the first start", (1, 2))
    need = decide_all((first, replace(first, start=2)), catalog).need(chown)
    assert (need.only, need.seen) == (None, (2, 2))
    need = decide_all((nothing, replace(first, start=2)), catalog).need(chown)
    assert need.only == "only from the second start on"
    need = decide_all((first, nothing), catalog).need(chown)
    assert need.only is None  # two recordings are no lifecycle
    need = decide_all((first, nothing, replace(nothing, start=2)), catalog).need(chown)
    assert need.only is None  # of the run that used it, no second start is known
