"""What is read of paths and arguments: the programs themselves are tested in tests/kernel."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from capadvise.observe.ftrace import pointer_readers
from capadvise.observe.ftrace.bpf_probe import ProbeProgram


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/proc/12/environ", (12, "environ")),
        ("/proc//12//ns/uts", (12, "ns/uts")),
        ("/proc/12/task/13/maps", (12, "maps")),
        ("/proc/12", (12, "")),
        ("/proc/12/map_files/7f0000000000-7f00", (12, "map_files/7f0000000000-7f00")),
        ("/proc/sys/kernel", None),
        ("/proc/self/exe", None),
        ("/processes/1", None),
        ("/proc/1\n2/exe", (1, "\n2/exe")),
    ],
)
def test_a_path_names_process_and_file(path: str, place: tuple[int, str] | None) -> None:
    assert pointer_readers.parse(path) == place


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("-e -p 12", {12}),
        ("-p12", {12}),
        ("--pid=12,13", {12, 13}),
        ("--pid 12", {12}),
        ("e -o args= -p 12", {12}),
        ("p 12 13", {12}),
        ("-Tp 12", {12}),
        ("-q 12", {12}),
        ("aux", set()),
        ("-n 1 -b", set()),
        ("1 2", set()),
        ("--ppid 2", set()),
        ("-p", set()),
    ],
)
def test_an_option_names_processes(words: str, named: set[int]) -> None:
    """A number by itself can be anything: top -n 1, pidstat 1."""
    assert pointer_readers.processes_named(words.split()) == named


def test_a_jump_to_the_end_lands_on_it() -> None:
    program = ProbeProgram(16)
    program.end_unless_begins(8, b"/proc/")
    raw = program.finish()
    code = [raw[at : at + 8] for at in range(0, len(raw), 8)]
    (at,) = [at for at, op in enumerate(code) if op[0] == 0x5D]
    (offset,) = struct.unpack_from("<h", code[at], 2)
    assert at + 1 + offset == len(code) - 2
    assert [op[0] for op in code[-2:]] == [0xB7, 0x95]  # return 0


@pytest.mark.parametrize(
    ("call", "path", "lists"),
    [
        ("openat", b"/proc\0", True),
        ("openat", b"/proc/\0/1/exe", True),
        ("openat", b"/proc/1\0", False),
        ("readlink", b"/proc\0", False),
        ("chdir", b"/proc\0", False),  # only with what it does there
        ("execve", b"", False),
    ],
)
def test_who_opens_the_folder_itself_lists_all_processes(
    call: str, path: bytes, lists: bool
) -> None:
    assert pointer_readers.Lookup(7, "ps", call, path, b"").lists_processes is lists


@pytest.mark.parametrize(
    ("had", "calls"),
    [
        ("chdir openat readlink readlinkat", ["openat", "readlink", "readlinkat", "chdir"]),
        ("openat readlinkat capset", ["openat", "readlinkat"]),
        ("statx openat newfstatat", ["openat", "newfstatat", "statx"]),  # aarch64 has no stat
    ],
)
def test_calls_that_the_kernel_does_not_have(tmp_path: Path, had: str, calls: list[str]) -> None:
    for call in had.split():
        (tmp_path / "events/syscalls" / f"sys_enter_{call}").mkdir(parents=True)
    assert pointer_readers.calls_of(tmp_path) == calls
