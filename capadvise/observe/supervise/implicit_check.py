"""The health check of a container that has none: the ports and programs of the recording are there
again, and stay. A program of its own: ``$CAPADVISE_CHECK`` in the environment of every check.

``tcp:6379/redis redis-server`` as arguments: each socket listens, and where a protocol is named, it
is spoken; each program runs; and a moment later none of them has been restarted. ``--propose``
prints such arguments for what listens and runs now. ``PID`` is the first process; of its
descendants, ``--propose`` takes those that ``PIDS`` names.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

if __name__ == "__main__":  # started with -I -S, it has no path
    sys.path.append(os.path.abspath(f"{__file__}/../../../.."))

from capadvise.kernel import procfs
from capadvise.kernel.process_tree import descendants, seen_below
from capadvise.kernel.serving import listening, running, sockets_in_use
from capadvise.model import clone_flags

if TYPE_CHECKING:
    from socket import socket

_GOES_ON = 1.0
"""Seconds between the two looks."""
_STARTS = 2.0
"""Seconds to wait for missing ports and programs, unless the first argument is
``--starts=SECONDS``."""
_EVERY, _OFTEN = 0.1, 0.05
"""Seconds between two looks; less if there is nothing to look at yet."""
_WAITS = "--starts="
_ANSWER_SECONDS = 3.0
"""Seconds for an answer."""
_GREETING, _LATE_GREETING = 0.3, 1.0
"""Seconds to wait for a server that speaks first; few take longer than a moment. A second wait
follows if no question gets an answer."""
_PORTS_AT_ONCE = 16
_DNS = bytes.fromhex("1234010000010000000000000000020001")  # who is the root of all names?
_SMB_HEADER = b"\xfeSMB" + struct.pack("<HHIHHIIQIIQ16x", 64, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
_SMB_DIALECTS = 0x0202, 0x0210, 0x0300
_SMB = _SMB_HEADER + struct.pack("<HHHHI24x3H", 36, len(_SMB_DIALECTS), 1, 0, 0, *_SMB_DIALECTS)
"""A question for the dialect: SMB2 NEGOTIATE of MS-SMB2, 2.2.3."""


def programs(pids: Iterable[int]) -> frozenset[str]:
    """The names of the running programs; a name with a blank cannot be an argument."""
    names = {one.program for one in running(pids)}
    return frozenset(name for name in names if name and not set(name) & set(" \t\n'\"\\$`"))


def answers(port: int, protocol: str) -> bool:
    """True if a protocol is spoken at a port of this network namespace."""
    received = b""
    with suppress(OSError), _connected(port, protocol) as tried:
        for question, is_answer in PROTOCOLS[protocol]:
            if question:
                tried.sendall(question)
            if not is_answer(received):  # it may have come with the former answer
                received += _receive(tried)
            echoed = question and received.startswith(question)
            if echoed or not is_answer(received):
                return False
        return True
    return False


def _connected(port: int, protocol: str) -> socket:
    import socket  # loaded after the first look, which does not need it

    kind = socket.SOCK_DGRAM if protocol == "dns" else socket.SOCK_STREAM
    tried = socket.socket(socket.AF_INET, kind)
    tried.settimeout(_ANSWER_SECONDS)
    try:
        tried.connect(("127.0.0.1", port))
    except OSError:
        tried.close()
        raise
    return tried


def _receive(tried: socket) -> bytes:
    return tried.recv(4096)


def _greets(port: int, patience: float) -> bool:
    """True if it speaks first."""
    with suppress(OSError), _connected(port, "banner") as tried:
        tried.settimeout(patience)
        return bool(_receive(tried))
    return False


def _begins(*words: bytes) -> Callable[[bytes], bool]:
    return lambda received: received.startswith(words)


def _exchanges_keys(received: bytes) -> bool:
    """SSH_MSG_KEXINIT in the first packet after the line with the version: OpenSSH leaves it to a
    process that has dropped its privileges."""
    return received.partition(b"\n")[2][5:6] == b"\x14"


PROTOCOLS: dict[str, tuple[tuple[bytes, Callable[[bytes], bool]], ...]] = {
    "ssh": ((b"", _begins(b"SSH-")), (b"SSH-2.0-capadvise\r\n", _exchanges_keys)),
    "smtp": (
        (b"", _begins(b"220")),
        (b"EHLO localhost\r\n", lambda received: b"\n250" in received),
    ),
    "banner": ((b"", _begins(b"220", b"SSH-", b"+OK", b"* OK")),),
    "mysql": ((b"", lambda received: received[4:5] == b"\x0a"),),
    "redis": ((b"PING\r\n", _begins(b"+PONG", b"-NOAUTH")),),
    "postgres": ((b"\0\0\0\x08\x04\xd2\x16\x2f", lambda received: received in (b"S", b"N")),),
    "http": ((b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n", _begins(b"HTTP/")),),
    "smb": ((struct.pack(">I", len(_SMB)) + _SMB, lambda received: received[4:8] == _SMB[:4]),),
    "dns": ((_DNS, lambda received: received[:2] == _DNS[:2]),),
}
"""Questions, and tests of the answers, which get all that was received so far. A protocol whose
server speaks first has no first question."""


def propose(pid: int, pids: Iterable[int]) -> list[str]:
    """The ports and programs to look for later. Ports are tried in parallel: a silent one takes
    seconds."""
    from concurrent.futures import ThreadPoolExecutor  # a check does without, and is sooner there

    pids = list(pids)
    known = programs(pids)
    sockets = sorted(listening(pid, pids))
    _enter(pid)
    with ThreadPoolExecutor(_PORTS_AT_ONCE) as pool:  # begun in that network
        return [*pool.map(_with_protocol, sockets), *sorted(known)]


def _with_protocol(place: str) -> str:
    kind, _, port = place.partition(":")
    of_udp = ["dns"] if port == "53" else []
    tried = of_udp if kind == "udp" else _spoken_at(int(port))
    spoken = next((name for name in tried if answers(int(port), name)), None)
    return f"{place}/{spoken}" if spoken else place


def _spoken_at(port: int) -> Iterator[str]:
    for patience, others in ((_GREETING, True), (_LATE_GREETING, False)):
        if _greets(port, patience):
            yield from filter(_listens_first, PROTOCOLS)
        elif others:
            yield from (name for name in PROTOCOLS if not _listens_first(name) and name != "dns")


def _listens_first(protocol: str) -> bool:
    return PROTOCOLS[protocol][0][0] == b""


def missing(pid: int, pids: list[int], wanted: Iterable[str]) -> list[str]:
    """The wanted ports and programs that are missing."""
    there = {*listening(pid, pids), *programs(pids)}
    return [one for one in wanted if one.partition("/")[0] not in there]


def _may_be_there(pid: int, wanted: Iterable[str]) -> bool:
    """True unless sockets are wanted and there are none at all: finding out whose they are, and
    what runs, would slow down a target that is starting."""
    counts, places = sockets_in_use(pid), (one.partition("/")[0] for one in wanted)
    kinds = {"tcp", "udp"}.intersection(place.partition(":")[0] for place in places)
    return all(counts[kind] or counts[f"{kind}6"] for kind in kinds)


def _started(pid: int, wanted: list[str], starts: float) -> tuple[list[int], list[str]]:
    """All of its processes, once everything is there; and what was missing to the end."""
    end = time.monotonic() + starts
    while True:
        over = time.monotonic() > end or procfs.state(pid) in ("", "Z")
        if looks := over or _may_be_there(pid, wanted):
            pids = [pid, *(descendants(pid) if over else seen_below(pid))]
            lacks = missing(pid, pids, wanted)
            if over or not lacks:
                return pids, lacks
        time.sleep(_EVERY if looks else _OFTEN)


def check(pid: int, wanted: list[str], starts: float = _STARTS) -> str | None:
    """The reason why it does not pass; None if it does. ``starts``: seconds that it may take to
    start."""
    pids, lacks = _started(pid, wanted, starts)
    if lacks:
        return f"missing: {', '.join(lacks)}"
    before = {one: procfs.start_time(one) for one in pids if procfs.state(one) not in ("", "Z")}
    looked = time.monotonic()
    _enter(pid)
    for place, _, protocol in (one.partition("/") for one in wanted):
        if protocol and not answers(int(place.partition(":")[2]), protocol):
            return f"{place} does not answer as {protocol}"
    time.sleep(max(0.0, looked + _GOES_ON - time.monotonic()))
    if procfs.state(pid) in ("", "Z"):
        return "it has ended"
    after = {one for one, start in before.items() if procfs.lives(one, start)}
    if lacks := missing(pid, sorted(after), wanted):
        return f"ended or restarted: {', '.join(lacks)}"
    return None


def _enter(pid: int) -> None:
    from capadvise.kernel import libc  # as above: it loads ctypes

    with open(f"/proc/{pid}/ns/net", "rb") as namespace:
        libc.setns(namespace.fileno(), clone_flags.CLONE_NEWNET)


def main(arguments: list[str]) -> int:
    pid = int(os.environ.get("PID") or 0)
    if not pid:
        print("it has not started")
        return 1
    if arguments[:1] == ["--propose"]:
        pids = [int(one) for one in os.environ.get("PIDS", "").split(",") if one]
        print(" ".join(propose(pid, pids)))
        return 0
    told = [float(one.removeprefix(_WAITS)) for one in arguments[:1] if one.startswith(_WAITS)]
    why = check(pid, arguments[len(told) :], *told)
    if why:
        print(why)
    return 1 if why else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
