"""Texts of /proc, as the kernel writes them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from capadvise.catalog.syscalls import AUDIT_ARCHS, MACHINES
from capadvise.kernel import procfs
from capadvise.kernel.procfs import busy_seconds
from capadvise.model.caps import Credentials
from capadvise.targets.containers import settling
from capadvise.targets.running import record_running
from tests.support.recordings import CATALOG
from tests.support.wait import until

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0051 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1
   1: 0100007F:0051 0100007F:D5A2 01 00000000:00000000 00:00000000 00000000     0        0 12 1
   2: 0100007F:03FF 0100007F:0016 01 00000000:00000000 00:00000000 00000000     0        0 13 1
"""


def test_processors_have_worked_and_work_on() -> None:
    before = busy_seconds()
    began = time.process_time()
    while time.process_time() - began < 0.1:
        pass
    assert 0 < before < busy_seconds()


STATUS = """\
Name:\tweb
State:\tS (sleeping)
Uid:\t33\t33\t0\t33
Gid:\t5\t5\t5\t5
Groups:\t4 5 27
CapInh:\t0000000000000000
CapPrm:\t0000000000000400
CapEff:\t0000000000000400
CapBnd:\t000001ffffffffff
CapAmb:\t0000000000000000
NoNewPrivs:\t1
Seccomp:\t2
Seccomp_filters:\t3
"""


def test_the_credentials_of_a_process(tmp_path: Path) -> None:
    for pid, state in ((7, "S"), (8, "Z")):
        (tmp_path / f"{pid}").mkdir()
        (tmp_path / f"{pid}" / "status").write_text(STATUS.replace("S (", f"{state} ("))
    masks = (0, 0x400, 0x400, 0x1FFFFFFFFFF, 0)
    expected = Credentials("web", "33 33 0", "5", "4 27", masks, no_new_privs=1, filters=3)
    assert procfs.credentials([7, 8, 9], tmp_path) == (expected,)


def test_a_connection_that_came_in_was_not_bound() -> None:
    assert procfs.parse_sockets(TCP) == {11: ("0.0.0.0", 81), 13: ("127.0.0.1", 1023)}


def test_processes_are_listed_only_where_one_may_have_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, last, there, listed = [0.0], [7], {1, 7}, list[float]()

    def processes() -> set[int]:
        listed.append(now[0])
        return set(there)

    monkeypatch.setattr(procfs, "processes", processes)
    monkeypatch.setattr(record_running, "newest", lambda: last[0])
    monkeypatch.setattr(record_running, "time", SimpleNamespace(monotonic=lambda: now[0]))
    look = record_running.Newcomers().look
    assert look() == {1, 7}
    last[0] = 8
    assert look() == set()  # it has its number, and is not listed yet
    there.add(8)
    assert look() == {8}
    for now[0] in (2.0, 3.0, 4.0):
        assert look() == set()
    assert listed == [0.0, 0.0, 0.0]
    there.add(5)  # it has chosen its number
    now[0] = 5.5
    assert look() == {5}
    last[0] = 9
    there.add(9)
    assert look() == {9}


def test_a_new_process_has_a_new_number() -> None:
    before = record_running.newest()
    with subprocess.Popen(["true"]) as process:
        assert before is not None
        assert record_running.newest() != before
        assert process.pid in record_running.Newcomers().look()


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        (["sleep", "300"], 300),
        ([sys.executable, "-c", "import time; time.sleep(300)"], 300),  # until a time
        (["cat"], 0),
    ],
)
def test_who_sleeps_and_for_how_long(words: list[str], seconds: float) -> None:
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        try:
            until(lambda: settling.sleep_left(process.pid) > 0 if seconds else _reads(process.pid))
            assert seconds / 2 <= settling.sleep_left(process.pid) <= seconds + 1
        finally:
            process.kill()
    assert settling.sleep_left(process.pid) == 0


def _reads(pid: int) -> bool:
    return procfs.comm(pid) == "cat" and procfs.state(pid) == "S"


@pytest.mark.parametrize(
    ("machine", "numbers"),
    [("x86_64", [35, 230]), ("aarch64", [101, 115]), ("riscv64", [101, 115])],
)
def test_the_numbers_of_the_calls_that_sleep(machine: str, numbers: list[int]) -> None:
    table = CATALOG.syscalls.numbers[AUDIT_ARCHS[MACHINES[machine]]]
    assert [table[name] for name in settling.TIME_AT] == numbers
