"""Addresses to names, and stacks to call sites."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from capadvise.model.errors import CannotObserve
from capadvise.observe.ftrace.kallsyms import (
    Reading,
    Symbols,
    _to_see_addresses,
    call_site,
    syscall_of,
)

TABLE = b"""ffffffff81000000 T _stext
ffffffff81000100 t cap_capable
ffffffff81000200 T ns_capable
ffffffff81000300 t path_mount.isra.0
ffffffff81000400 T __x64_sys_mount
ffffffff81000500 T do_syscall_64
ffffffff81000600 T entry_SYSCALL_64_after_hwframe
ffffffff83000000 R __end
ffffffffc0000100 t ovl_setattr	[overlay]
ffffffffc0000000 t ovl_open	[overlay]
"""
BASE = 0xFFFFFFFF81000000


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (BASE, "_stext"),
        (BASE + 0x1FF, "cap_capable"),
        (BASE + 0x210, "ns_capable"),
        (BASE + 0x300, "path_mount"),
        (0xFFFFFFFFC0000050, "ovl_open"),
        (0xFFFFFFFFC0000150, "ovl_setattr"),
        (0x1000, "0x1000"),
    ],
)
def test_an_address_lies_in_the_function_before_it(address: int, name: str) -> None:
    assert Symbols(TABLE).name(address) == name


def test_every_symbol_of_this_kernel_is_found() -> None:
    table = Path("/proc/kallsyms").read_bytes()
    lines = [line.split() for line in table.splitlines()[::997]]
    if int(lines[50][0], 16) == 0:
        if os.geteuid() != 0:
            pytest.skip("the kernel shows its addresses to root alone")
        pytest.fail("this test must run where the kernel shows its addresses")
    symbols = Symbols(table)
    by_address: dict[int, set[str]] = {}
    for line in (line.split() for line in table.splitlines()):
        name = line[2].decode().split(".")[0]
        by_address.setdefault(int(line[0], 16), set()).add(name)
    for line in lines:
        address = int(line[0], 16)
        assert symbols.name(address).split(".")[0] in by_address[address]


def test_a_call_site_is_what_asked() -> None:
    stack = struct.pack(
        "<7Q", *(BASE + at for at in (0x110, 0x210, 0x310, 0x410, 0x510, 0x610)), 2**64 - 1
    )
    site = call_site(Symbols(TABLE), stack)
    assert site == ("ns_capable", "path_mount", "__x64_sys_mount")
    assert syscall_of(site) == "mount"


@pytest.mark.parametrize(
    "frames",
    [
        # Linux 5.10, kprobe: the function itself, then its caller
        "kprobe_trace_func kprobe_dispatcher aggr_pre_handler kprobe_ftrace_handler "
        "ftrace_ops_assist_func ftrace_trampoline cap_capable security_capable",
        # 6.12, fprobe at the return: a trampoline stands where the function was
        "fexit_trace_func fexit_dispatcher fprobe_exit_handler rethook_trampoline_handler "
        "arch_rethook_trampoline_callback arch_rethook_trampoline security_capable",
        # 6.18, tracepoint
        "trace_event_raw_event_cap_capable __traceiter_cap_capable cap_capable security_capable",
        "security_capable",
    ],
)
def test_what_traces_is_no_part_of_the_call_site(frames: str) -> None:
    names = [*frames.split(), "ns_capable", "path_mount", "__x64_sys_mount", "do_syscall_64"]
    table = b"".join(
        b"%x T %s\n" % (BASE + at * 256, name.encode()) for at, name in enumerate(names)
    )
    stack = struct.pack(f"<{len(names)}Q", *(BASE + at * 256 + 16 for at in range(len(names))))
    assert call_site(Symbols(table), stack) == ("ns_capable", "path_mount", "__x64_sys_mount")


@pytest.mark.parametrize(
    ("site", "call"),
    [
        (("x", "__sys_bind", "__x64_sys_bind"), "bind"),
        (("x", "__sys_setuid"), "setuid"),
        (("x", "ksys_unshare", "__x64_sys_unshare"), "unshare"),
        (("x", "do_mmap", "vm_mmap_pgoff"), "mmap"),
        (("ns_capable_noaudit", "do_seccomp"), "seccomp"),
        (("x", "do_handle_open"), "open_by_handle_at"),
        (("x", "compat_ksys_shmctl"), "shmctl"),
        (("ns_capable_noaudit", "do_seccomp", "__x64_sys_prctl"), "prctl"),
        (("io_uring_setup",), "io_uring_setup"),
        (("x", "exc_page_fault", "asm_exc_page_fault"), None),
        ((), None),
    ],
)
def test_the_system_call_stands_at_the_outer_end(site: tuple[str, ...], call: str | None) -> None:
    assert syscall_of(site) == call


def test_a_symbol_is_found_by_its_name() -> None:
    assert Symbols(TABLE).address("ns_capable") == BASE + 0x200
    assert Symbols(TABLE).address("init_user_ns") == 0


def test_hidden_addresses_are_an_error_with_a_way_out(tmp_path: Path) -> None:
    table = tmp_path / "kallsyms"
    table.write_bytes(b"0000000000000000 T _stext\n" * 9)
    for read in (Symbols.load, lambda path: Reading(path).result()):
        with pytest.raises(CannotObserve, match="hides the kernel's addresses") as caught:
            read(table)
        assert caught.value.hint is not None


@pytest.mark.parametrize(("restricted", "changes"), [("0", False), ("1", False), ("2", True)])
def test_a_setting_is_named_only_where_it_changes_something(restricted: str, changes: bool) -> None:
    """0 and 1 show the addresses to whoever has SYSLOG; 1 for 2 opens them on the whole machine."""
    way = _to_see_addresses(restricted)
    assert ("sysctl" in way) is changes
    assert ("whole machine" in way) is changes


def test_a_table_that_is_on_its_way_is_waited_for_when_it_is_needed(tmp_path: Path) -> None:
    table = tmp_path / "kallsyms"
    table.write_bytes(TABLE)
    assert Reading(table).result().name(BASE + 0x200) == "ns_capable"


def test_what_reads_the_table_leaves_no_zombie(tmp_path: Path) -> None:
    table = tmp_path / "kallsyms"
    table.write_bytes(TABLE)
    reading = Reading(table)
    assert [reading.reap(), reading.reap()] == [False, False]
    with pytest.raises(ChildProcessError):
        os.waitpid(reading._cat, 0)
    assert reading.result().name(BASE + 0x200) == "ns_capable"


def read_after_a_failure(table: Path) -> Symbols:
    """``cat`` has failed: the table is read once more when it is first looked into."""
    table.write_bytes(TABLE)
    reading = Reading(table)
    os.waitpid(reading._cat, 0)
    reading._cat = os.posix_spawnp("false", ["false"], os.environ)
    return reading.result()


def test_a_table_that_comes_late_and_is_of_no_use_names_nothing(tmp_path: Path) -> None:
    """The kernel hides its addresses by then: each symbol seems to be at 0."""
    table = tmp_path / "kallsyms"
    symbols = read_after_a_failure(table)
    table.write_bytes(b"0000000000000000 T _stext\n" * 9)
    assert symbols.name(BASE + 0x200) == f"0x{BASE + 0x200:x}"
    (caution,) = symbols.cautions
    assert "hides the kernel's addresses" in caution


def test_a_table_is_read_with_the_rights_that_it_was_opened_with(tmp_path: Path) -> None:
    table = tmp_path / "kallsyms"
    symbols = read_after_a_failure(table)
    table.unlink()
    assert symbols.name(BASE + 0x200) == "ns_capable"
    assert symbols.cautions == ()
