"""The health check of a container that has none: the ports and programs of the recording are there
again, and stay. A program of its own: ``$CAPADVISE_CHECK`` in the environment of every check.

``tcp:80/http:200:text/html nginx@0 nginx@33`` as arguments: each socket listens, and speaks
the protocol after the slash, HTTP with such an answer or a better one; each program runs as the
user after the @, and a moment later none of them has been restarted. ``--propose`` prints such
arguments for what listens and runs now. ``PID`` is the first process; of its descendants,
``--propose`` takes those that ``PIDS`` names.
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
from capadvise.kernel.user_namespaces import parse_map, translated
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
_RARE_SECONDS = 1.0
"""Seconds for an answer in a protocol that few ports speak: a silent port takes them for each."""
_PORTS_AT_ONCE = 16
_DNS = bytes.fromhex("1234010000010000000000000000020001")  # who is the root of all names?
_GET = b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n"
_HEADERS = 65536
"""The most bytes of an answer that are read for its headers."""
_TYPE = b"content-type:"
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789/+-.")
"""The characters that may be in an argument of the check."""
_FASTCGI = bytes.fromhex("0109000000110000 0f00") + b"FCGI_MPXS_CONNS"
"""FCGI_GET_VALUES, which is about no request: FastCGI 1.0, 4.1."""
_MQTT = bytes.fromhex("100c 0004") + b"MQTT" + bytes.fromhex("0402 000a 0000")
"""CONNECT of MQTT 3.1.1 with a clean session and no name."""
_LDAP = bytes.fromhex("300c 020101 6007 020103 0400 8000")
"""An anonymous bind: RFC 4511, 4.2."""
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000 04 00 00000000")
"""The preface with empty settings, as gRPC begins: RFC 9113, 3.4."""
_SMB_HEADER = b"\xfeSMB" + struct.pack("<HHIHHIIQIIQ16x", 64, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
_SMB_DIALECTS = 0x0202, 0x0210, 0x0300
_SMB = _SMB_HEADER + struct.pack("<HHHHI24x3H", 36, len(_SMB_DIALECTS), 1, 0, 0, *_SMB_DIALECTS)
"""A question for the dialect: SMB2 NEGOTIATE of MS-SMB2, 2.2.3."""


def programs(pids: Iterable[int]) -> frozenset[str]:
    """``nginx@33``: the running programs with their users, as numbered in their own user namespace;
    a name with a blank cannot be an argument."""
    users = ((one.program, _user(one.pid)) for one in running(pids))
    names = {f"{name}@{user}" for name, user in users if name and user is not None}
    return frozenset(name for name in names if not set(name) & set(" \t\n'\"\\$`"))


def _user(pid: int) -> int | None:
    """Its effective user; None where it is gone."""
    with suppress(OSError):
        with open(f"/proc/{pid}/uid_map") as rows:
            inside = [(other, first, count) for first, other, count in parse_map(rows.read())]
        return translated(procfs.effective_user(pid), inside)
    return None


def answers(port: int, protocol: str, patience: float = _ANSWER_SECONDS) -> bool:
    """True if a protocol is spoken at a port of this network namespace."""
    received = b""
    with suppress(OSError), _connected(port, protocol, patience) as tried:
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


def web_answer(port: int, protocol: str) -> str | None:
    """``200:text/html``: the status and the type of the page ``/``; None where HTTP is not
    spoken."""
    received = b""
    with suppress(OSError), _connected(port, protocol, _ANSWER_SECONDS) as tried:
        tried.sendall(_GET)
        while b"\n\n" not in received and len(received) < _HEADERS:
            if not (more := _receive(tried)):
                break
            received = (received + more).replace(b"\r\n", b"\n")  # of a script, it is the latter
    status, *headers = received.partition(b"\n\n")[0].lower().split(b"\n")
    words = status.split()
    if not status.startswith(b"http/") or len(words) < 2 or not words[1].isdigit():
        return None
    named = [one.partition(b":")[2] for one in headers if one.startswith(_TYPE)]
    kind = named[0].partition(b";")[0].strip() if named else b""
    return f"{int(words[1])}:{kind.decode()}" if kind and {*kind} <= _PLAIN else str(int(words[1]))


def is_as_good(answer: str, known: str) -> bool:
    """True if the class of the status is that of the known answer or a better one; a page that was
    there must be of the same type, as an error page can come with 200."""
    (now, _, kind), (before, _, known_kind) = answer.partition(":"), known.partition(":")
    if now[0] != before[0]:
        return now[0] < before[0]
    return now[0] != "2" or known_kind in ("", kind)


def _connected(port: int, protocol: str, patience: float) -> socket:
    import socket  # loaded after the first look, which does not need it

    kind = socket.SOCK_DGRAM if protocol == "dns" else socket.SOCK_STREAM
    tried = socket.socket(socket.AF_INET, kind)
    tried.settimeout(patience)
    try:
        tried.connect(("127.0.0.1", port))
        return _encrypted(tried) if protocol == "https" else tried
    except OSError:
        tried.close()
        raise


def _encrypted(plain: socket) -> socket:
    """Without a look at the certificate: the question is only whether the server works."""
    import ssl

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(plain, server_hostname="localhost")


def _receive(tried: socket) -> bytes:
    return tried.recv(4096)


def _greets(port: int, patience: float) -> bool:
    """True if it speaks first."""
    with suppress(OSError), _connected(port, "banner", patience) as tried:
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
    "imap": ((b"", _begins(b"* OK")), (b"a NOOP\r\n", lambda received: b"\na OK" in received)),
    "banner": ((b"", _begins(b"220", b"SSH-", b"+OK", b"* OK", b"INFO ")),),
    "mysql": ((b"", lambda received: received[4:5] == b"\x0a"),),
    "redis": ((b"PING\r\n", _begins(b"+PONG", b"-NOAUTH")),),
    "memcached": ((b"version\r\n", _begins(b"VERSION ")),),
    "postgres": ((b"\0\0\0\x08\x04\xd2\x16\x2f", lambda received: received in (b"S", b"N")),),
    "fastcgi": ((_FASTCGI, _begins(b"\x01\x0a")),),
    "amqp": ((b"AMQP\0\0\x09\x01", lambda received: received[7:11] == b"\0\x0a\0\x0a"),),
    "mqtt": ((_MQTT, _begins(b"\x20\x02")),),
    "ldap": ((_LDAP, lambda received: received[:1] == b"0" and b"\x61" in received[:8]),),
    "http2": ((_HTTP2, lambda received: received[3:4] == b"\x04" and received[5:9] == b"\0" * 4),),
    "smb": ((struct.pack(">I", len(_SMB)) + _SMB, lambda received: received[4:8] == _SMB[:4]),),
    "dns": ((_DNS, lambda received: received[:2] == _DNS[:2]),),
}
"""Questions, and tests of the answers, which get all that was received so far. A protocol whose
server speaks first has no first question. HTTP is not among them: its answer is kept."""
_WEB = ("http", "https")
_FEW_SPEAK = {"fastcgi", "amqp", "mqtt", "ldap", "http2", "smb"}


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
    tried = (["dns"] if port == "53" else []) if kind == "udp" else _spoken_at(int(port))
    spoken = next((told for name in tried if (told := _told(int(port), name))), None)
    return f"{place}/{spoken}" if spoken else place


def _told(port: int, protocol: str) -> str | None:
    """The protocol if it is spoken, with the answer that was given."""
    if protocol in _WEB:
        answer = web_answer(port, protocol)
        return answer and f"{protocol}:{answer}"
    patience = _RARE_SECONDS if protocol in _FEW_SPEAK else _ANSWER_SECONDS
    return protocol if answers(port, protocol, patience) else None


def _spoken_at(port: int) -> Iterator[str]:
    for patience, others in ((_GREETING, True), (_LATE_GREETING, False)):
        if _greets(port, patience):
            yield from filter(_listens_first, PROTOCOLS)
        elif others:
            yield from _WEB
            yield from (name for name in PROTOCOLS if not _listens_first(name) and name != "dns")


def _listens_first(protocol: str) -> bool:
    return PROTOCOLS[protocol][0][0] == b""


def missing(pid: int, pids: list[int], wanted: Iterable[str]) -> list[str]:
    """The wanted ports and programs that are missing."""
    there = {*listening(pid, pids), *programs(pids)}
    there |= {name.rpartition("@")[0] for name in there}  # checks that name no users
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
        if protocol and (why := _no_answer(int(place.partition(":")[2]), protocol)):
            return f"{place} {why}"
    time.sleep(max(0.0, looked + _GOES_ON - time.monotonic()))
    if procfs.state(pid) in ("", "Z"):
        return "it has ended"
    after = {one for one, start in before.items() if procfs.lives(one, start)}
    if lacks := missing(pid, sorted(after), wanted):
        return f"ended or restarted: {', '.join(lacks)}"
    return None


def _no_answer(port: int, spoken: str) -> str | None:
    protocol, _, known = spoken.partition(":")
    if protocol not in _WEB:
        return None if answers(port, protocol) else f"does not answer as {protocol}"
    answer = web_answer(port, protocol)
    if answer is None:
        return f"does not answer as {protocol}"
    as_good = not known or is_as_good(answer, known)
    return None if as_good else f"answers {answer} instead of {known}"


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
