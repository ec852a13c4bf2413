"""System calls: their numbers, and whether one that sets ids changes something."""

from __future__ import annotations

import pytest

from capadvise.catalog.syscalls import AUDIT_ARCHS, INTERFACES
from capadvise.kernel import uapi
from capadvise.kernel.syscalls import ARGUMENTS, REACHING, Ids, arguments, reaches
from capadvise.observe.retry.calls import I386
from capadvise.observe.retry.processors import PROCESSORS
from tests.support.recordings import CATALOG

ROOT, DAEMON, SET_UID = Ids(0, 0, 0), Ids(33, 33, 33), Ids(1000, 0, 0)


@pytest.mark.parametrize(
    ("call", "values", "ids", "changes"),
    [
        ("setuid", (0,), ROOT, 0),
        ("setuid", (33,), ROOT, 1),
        ("setuid", (33,), DAEMON, 0),
        ("setuid", (0,), SET_UID, 1),  # without SETUID the real one stays that of the user
        ("setuid", (1000,), SET_UID, 0),
        ("setuid", (33,), SET_UID, 1),
        ("setreuid", (1000, 0), SET_UID, 0),
        ("setresuid", (0, 0, 0), SET_UID, 0),
        ("setresuid", (33, 33, 33), SET_UID, 1),
    ],
)
def test_a_set_uid_program_has_the_real_id_of_its_user(
    call: str, values: tuple[int, ...], ids: Ids, changes: int
) -> None:
    assert arguments(call, values, ids, ROOT)["changes"] == changes


@pytest.mark.parametrize(
    ("machine", "table"), [("x86_64", "x86_64"), ("i686", "i386"), ("aarch64", "generic")]
)
def test_what_is_called_by_number_has_that_of_the_table(machine: str, table: str) -> None:
    """libc is loaded before the catalog, and has no functions for these."""
    numbers = CATALOG.syscalls.numbers[table]
    assert uapi.BPF.get(machine, uapi.BPF_OTHERS) == numbers["bpf"]
    number = uapi.PERF_EVENT_OPEN.get(machine, uapi.PERF_EVENT_OPEN_OTHERS)
    assert number == numbers["perf_event_open"]
    named = {"fsopen": uapi.FSOPEN, "fsconfig": uapi.FSCONFIG, "fsmount": uapi.FSMOUNT}
    for name, number in (named | {"openat2": uapi.OPENAT2}).items():
        assert number == numbers[name]


def test_processors_enter_the_kernel_where_the_catalog_knows_the_calls() -> None:
    """The tracer loads no catalog."""
    ways = {name: tuple(one.arch for one in processors) for name, processors in PROCESSORS.items()}
    assert ways == INTERFACES
    assert AUDIT_ARCHS[I386] == "i386"


@pytest.mark.parametrize(
    ("call", "args", "cap"),
    [
        ("migrate_pages", {"pid": 7}, "SYS_PTRACE"),
        ("process_vm_readv", {"pid": 7}, "SYS_PTRACE"),
        ("sched_setaffinity", {"pid": 7}, "SYS_NICE"),
        ("setpriority", {"which": 0, "who": 7}, "SYS_NICE"),
        ("move_pages", {"pid": 0}, None),  # the caller's own
    ],
)
def test_the_process_that_a_call_is_about(call: str, args: dict[str, int], cap: str | None) -> None:
    reached = reaches(call, args)
    assert (reached and reached[1].short) == cap
    assert call in REACHING
    assert args.keys() <= ARGUMENTS[call].keys()
