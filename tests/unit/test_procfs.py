"""Texts of /proc, as the kernel writes them."""

from __future__ import annotations

import time

from capadvise.linux.kernel import procfs
from capadvise.linux.kernel.processors import busy_seconds

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


def test_a_connection_that_came_in_was_not_bound() -> None:
    assert procfs.parse_sockets(TCP) == {11: ("0.0.0.0", 81), 13: ("127.0.0.1", 1023)}
