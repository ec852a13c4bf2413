"""What programs need that look at other processes: those that list all of them, debuggers, and
those that look at chosen ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from capadvise.catalog import default
from capadvise.judgement.decide import Verdict, decide
from capadvise.model.caps import Cap
from capadvise.model.recording import Check, Lost, Origin
from tests.support.call_sites import (
    CHECK,
    FACTS,
    INCIDENTAL,
    NEEDED,
    OVERRIDE,
    at,
    looking,
    recorded,
)


@pytest.mark.parametrize(
    ("scanners", "wanted"), [(frozenset({"p"}), set()), (frozenset(), {"CAP_SYS_PTRACE"})]
)
def test_who_was_seen_listing_all_processes_looks_at_no_chosen_one(
    scanners: frozenset[str], wanted: set[str]
) -> None:
    """Counts tell where it was not recorded: on a small machine all are few."""
    known = recorded(looking("p"), proc_scanners=scanners)
    assert {cap.name for cap in decide(known, FACTS).recommended} == wanted


def test_of_what_was_dropped_nobody_says_that_it_listed() -> None:
    """Who went through /proc may have been told of one process."""
    state = at("do_task_stat", program="q")
    for checks in ((looking("p"),), (looking("q"), state)):
        unknown = recorded(*checks, proc_scanners=frozenset({"p"}), lost=Lost(lookups=1))
        need = decide(unknown, FACTS).need(Cap.parse("SYS_PTRACE"))
        assert need.verdict is Verdict.NEEDED
        assert "lookups in /proc were dropped" in str(need.uncertain)


def test_who_lists_sockets_tells_whose_they_are_where_it_can() -> None:
    """ss -p; lsof and fuser look into descriptors for their own sake."""
    link, fd = at("looking", cap=Cap(19)), at("read", cap=Cap(2))
    fd = replace(fd, site=("ns_capable", "read", "proc_fd_permission"))
    sockets = at("tcp_diag_dump", cap=Cap(12), granted=False)
    names = {cap.name for cap in decide(recorded(link, fd, sockets), FACTS).recommended}
    assert names == set()
    names = {cap.name for cap in decide(recorded(link, fd), FACTS).recommended}
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
        seen = recorded(*checks, proc_scanners=frozenset({"p"}))
        sets.append({cap.short for cap in decide(seen, default()).recommended})
    assert sets == [{"SYS_PTRACE"}, set(), set()]


def test_nobody_can_make_a_file_among_descriptors() -> None:
    """A shell that writes to /dev/stderr with O_CREAT; who may not search the folder is asked for
    DAC_READ_SEARCH first."""
    site = ("ns_capable", "generic_permission", "proc_fd_permission", "inode_permission")
    writes = replace(at("x", cap=Cap(1), syscall="openat"), site=site)
    refused = replace(writes, cap=Cap(2), granted=False)
    sets = [decide(recorded(*seen), default()) for seen in ([writes], [refused, writes])]
    assert [{cap.short for cap in each.recommended} for each in sets] == [set(), {"DAC_OVERRIDE"}]


def test_a_debugger_asks_by_ptrace_where_a_file_is_refused() -> None:
    """It opens mem and auxv of the process that it traces; other files are its own business."""
    traces = replace(at("decides", cap=Cap(19)), site=("ns_capable", "decides", "ptrace_attach"))
    memory = at("looking", cap=Cap(19))
    memory = replace(memory, site=("ns_capable", "looking", "proc_mem_open", "mem_open"))
    opened = replace(at("write", cap=Cap(1)), site=("ns_capable", "read", "may_open"))
    wanted = {"CAP_SYS_PTRACE"}
    assert {c.name for c in decide(recorded(traces, memory, opened), FACTS).recommended} == wanted
    more = replace(opened, count=2)
    names = {cap.name for cap in decide(recorded(traces, memory, more), FACTS).recommended}
    assert names == {*wanted, "CAP_DAC_OVERRIDE"}
    auxv = replace(memory, site=(*memory.site[:-1], "auxv_open"))  # eu-stack has no other way
    names = {cap.name for cap in decide(recorded(traces, auxv, opened), FACTS).recommended}
    assert names == {*wanted, "CAP_DAC_OVERRIDE"}


@pytest.mark.parametrize(
    ("beside", "verdict"),
    [
        ([], NEEDED),  # ip netns pids
        ([at("do_task_stat", program="p", count=138)], INCIDENTAL),  # pstree
        ([at("call_proc_get_link", program="p", count=144)], INCIDENTAL),  # userdel
    ],
)
def test_who_looks_at_nothing_but_namespaces_is_there_for_them(
    beside: list[Check], verdict: Verdict
) -> None:
    namespaces = looking("p", count=135)
    namespaces = replace(namespaces, site=(*namespaces.site, "proc_ns_get_link"))
    lists = recorded(namespaces, *beside, proc_scanners=frozenset({"p"}))
    assert decide(lists, FACTS).need(Cap(19)).verdict is verdict


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
    proposal = decide(recorded(*checks, proc_scanners=frozenset({CHECK.program})), default())
    assert (Cap(19) in proposal.recommended) is wanted


@pytest.mark.parametrize(
    ("beside", "verdict"),
    [
        ([], NEEDED),
        ([at("do_task_stat", program="p")], INCIDENTAL),
        ([at("do_task_stat", program="other")], NEEDED),
        ([at("do_task_stat", program="p"), at("proc_fd_permission", program="p")], NEEDED),
        ([at("call_proc_get_link", program="p", count=30)], NEEDED),
        (
            [
                at("call_proc_get_link", program="p", count=30),
                at("proc_ns_readlink", program="p", count=10),
            ],
            INCIDENTAL,
        ),
        ([at("call_proc_get_link", program="other", count=400)], NEEDED),
        (
            [
                at("call_proc_get_link", program="p", count=400),
                at("proc_fd_permission", program="p"),
            ],
            NEEDED,
        ),
    ],
)
def test_who_looks_at_chosen_processes_needs_what_a_lister_does_not(
    beside: list[Check], verdict: Verdict
) -> None:
    proposal = decide(recorded(looking("p"), *beside), FACTS)
    assert proposal.need(Cap(19)).verdict is verdict


@pytest.mark.parametrize(
    ("asked", "count", "verdict"),
    [
        ("proc_mem_open", 9, INCIDENTAL),
        ("do_io_accounting", 9, INCIDENTAL),
        ("proc_mem_open", 8, NEEDED),
    ],
)
def test_a_lister_reads_files_of_the_processes_that_it_lists(
    asked: str, count: int, verdict: Verdict
) -> None:
    site = ("ns_capable", "read", "may_open")
    opened = replace(CHECK, cap=Cap(2), site=site, count=9, program="p")
    beside = at("do_task_stat", program="p"), at(asked, program="p", count=count)
    proposal = decide(recorded(opened, *beside), FACTS)
    assert proposal.need(OVERRIDE if verdict is NEEDED else Cap(2)).verdict is verdict


@pytest.mark.parametrize(("met", "verdict"), [(1, NEEDED), (9, INCIDENTAL)])
def test_who_reads_the_maps_of_few_processes_was_told_of_them(met: int, verdict: Verdict) -> None:
    site = ("ns_capable", "looking", "mm_access", "pid_maps_open")
    beside = at("do_task_stat", program="p", count=met)
    proposal = decide(recorded(replace(looking("p"), site=site), beside), FACTS)
    assert proposal.need(Cap(19)).verdict is verdict
