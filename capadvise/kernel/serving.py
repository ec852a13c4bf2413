"""The ports at which processes listen, and the programs that run in them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from capadvise.kernel import procfs

_TABLES = "tcp", "tcp6", "udp", "udp6"
_LISTENS, _UNCONNECTED = "0A", "07"  # TCP_LISTEN, TCP_CLOSE of net/tcp_states.h
CHOSEN = 32768
"""From here on the kernel chooses ports: ip_local_port_range."""


def listening(pid: int, pids: Iterable[int]) -> frozenset[str]:
    """``tcp:6379``, ``udp:53``: the ports that these processes wait at, in the network namespace of
    ``pid``. Those that the kernel has chosen are others at each start."""
    tables, ports = [table for table, count in sockets_in_use(pid).items() if count], set[str]()
    own = {inode for one in pids for inode in procfs.sockets(one)} if tables else set()
    for table in tables:
        try:
            lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        waits = _LISTENS if table.startswith("tcp") else _UNCONNECTED
        for fields in map(str.split, lines):
            port = int(fields[1].rpartition(":")[2], 16)
            if fields[3] == waits and int(fields[9]) in own and port < CHOSEN:
                ports.add(f"{table.rstrip('6')}:{port}")
    return frozenset(ports)


def listening_anywhere(pids: Iterable[int]) -> tuple[str, ...]:
    """The same, in all of their network namespaces."""
    places = {procfs.namespace(pid, "net"): pid for pid in pids}
    return tuple(sorted({port for pid in places.values() for port in listening(pid, pids)}))


def sockets_in_use(pid: int) -> dict[str, int]:
    """How many sockets are in each table of its network namespace: to read those of TCP takes some
    milliseconds, also where they are empty."""
    counts = dict.fromkeys(_TABLES, 0)
    for file in ("sockstat", "sockstat6"):
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/net/{file}").read_text().splitlines()
            told = {words[0].rstrip(":").lower(): words for words in map(str.split, lines)}
            counts |= {name: int(told[name][2]) for name in _TABLES if name in told}
    return counts


class RunningProgram(NamedTuple):
    """A process and the program that it runs: after an exec it is another one."""

    pid: int
    started: int
    program: str


def running(pids: Iterable[int]) -> frozenset[RunningProgram]:
    """Those of the processes that have not ended."""
    seen = set()
    for pid in pids:
        with suppress(OSError):  # it is gone
            if procfs.state(pid) not in ("", "Z", "X"):
                seen.add(RunningProgram(pid, procfs.start_time(pid), procfs.comm(pid)))
    return frozenset(seen)
