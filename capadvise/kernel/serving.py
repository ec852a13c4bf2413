"""The ports at which processes listen, whether they wait for work, and the programs in them."""

import os
import platform
from collections.abc import Iterable, Sequence
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


_LISTENING_FLAG, _DATAGRAMS = 0x10000, "0002"  # SO_ACCEPTCON, SOCK_DGRAM of linux/net.h
_WAITS: dict[str, dict[int, int | None]] = {
    "x86_64": {
        **{7: 2, 23: 4, 128: 2, 232: 3, 270: 4, 271: 2, 281: 3, 441: 3},
        **{34: None, 43: None, 130: None, 288: None},
    },
    "aarch64": {22: 3, 72: 4, 73: 2, 137: 2, 441: 3, 133: None, 202: None, 242: None},
}
"""poll, select, rt_sigtimedwait, epoll_wait and their kin, and the argument that limits the time;
pause, accept and rt_sigsuspend have none."""
_READ = {"x86_64": 0, "aarch64": 63}


def waits_for_work(pids: Iterable[int]) -> bool:
    """True if one of the processes waits for clients or for events, and for nothing else: it has
    come through its start."""
    pids = tuple(pids)
    return bool(listening_anywhere(pids)) or any(map(_serves_locally, pids))


def _serves_locally(pid: int) -> bool:
    with suppress(OSError, ValueError):  # it is gone
        sockets, lines = procfs.sockets(pid), Path(f"/proc/{pid}/net/unix").read_bytes()
        for fields in map(bytes.split, lines.splitlines()[1:] if sockets else ()):
            there = int(fields[3], 16) & _LISTENING_FLAG or (fields[4].decode() == _DATAGRAMS)
            if there and len(fields) > 7 and int(fields[6]) in sockets:
                return True
        threads = Path(f"/proc/{pid}/task").iterdir()
        return any(_waits(pid, (thread / "syscall").read_text().split()) for thread in threads)
    return False


def _waits(pid: int, call: Sequence[str]) -> bool:
    """``call``: the number of a blocked thread's call and its arguments, or that it runs."""
    waits = _WAITS.get(platform.machine(), {})
    if len(call) < 7 or not call[0].isdecimal():
        return False
    number, values = int(call[0]), [int(value, 16) for value in call[1:7]]
    if number == _READ.get(platform.machine()):
        return os.readlink(f"/proc/{pid}/fd/{values[0]}") == "/dev/fuse"
    limit = waits.get(number, number)
    return number in waits and (limit is None or values[limit] & _MASK in (0, _MASK))


_MASK = 0xFFFFFFFF
"""The bits of an int. Without a time limit, the argument is -1 milliseconds, or a null pointer."""


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
