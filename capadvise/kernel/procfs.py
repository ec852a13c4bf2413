"""Readers of /proc. Each takes the root folder as a parameter, for tests."""

import math
import os
import re
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from capadvise.model.caps import Credentials, Sets, from_mask

PROC = Path("/proc")
INITIAL_PID_NAMESPACE = 0xEFFFFFFC
"""Its fixed inode number: PROC_PID_INIT_INO in linux/proc_ns.h."""
_LONGEST_COMMAND_LINE = 1 << 20
"""More is not read: any process can have all of its memory taken for its arguments
(PR_SET_MM_MAP)."""


def parse_status(text: str) -> dict[str, str]:
    """The fields of ``/proc/PID/status``."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _status(pid: int | str, proc: Path) -> dict[str, str]:
    """Raises OSError if the process is gone."""
    return parse_status((proc / str(pid) / "status").read_text(errors="backslashreplace"))


def effective_user(pid: int, proc: Path = PROC) -> int:
    """Raises OSError if the process is gone."""
    return int(_status(pid, proc)["Uid"].split()[1])


def capability_sets(pid: int | str = "self", proc: Path = PROC) -> Sets:
    """The sets of a process. Raises OSError when it is gone."""
    return parse_sets((proc / str(pid) / "status").read_text(errors="backslashreplace"))


def parse_sets(status: str) -> Sets:
    """The sets in ``/proc/PID/status``; empty where the kernel does not have one."""
    return Sets(*map(from_mask, _masks(parse_status(status))))


def _masks(fields: dict[str, str]) -> tuple[int, ...]:
    masks = (fields.get(f"Cap{name}", "0") for name in ("Inh", "Prm", "Eff", "Bnd", "Amb"))
    return tuple(int(mask, 16) for mask in masks)


def _stat(pid: int | str, proc: Path) -> list[bytes]:
    """The fields of ``/proc/PID/stat`` from its state on. Raises OSError if it is gone."""
    return (proc / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()


def start_time(pid: int | str, proc: Path = PROC) -> int:
    """When a process started, in clock ticks since boot: with the pid, a lasting name for it."""
    return int(_stat(pid, proc)[19])


def computed(pid: int, proc: Path = PROC) -> float:
    """Seconds of a processor that a process and its ended children have used; 0 when it is gone."""
    with suppress(OSError):
        return sum(map(int, _stat(pid, proc)[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def state(pid: int, proc: Path = PROC) -> str:
    """The one-letter state of a process; empty when it is gone."""
    with suppress(OSError):
        return _stat(pid, proc)[0].decode()
    return ""


def comm(pid: int, proc: Path = PROC) -> str:
    """The name of a process; ``?`` when it is gone. Hostile: escape before showing it."""
    try:
        text = (proc / str(pid) / "comm").read_bytes().rstrip(b"\n")
    except OSError:
        return "?"
    return text.decode(errors="backslashreplace")


def command_line(pid: int | str, proc: Path = PROC) -> bytes:
    """The words of a command line, a NUL byte behind each, as far as they are read; empty when it
    is gone. Hostile."""
    try:
        with open(proc / str(pid) / "cmdline", "rb") as file:
            return file.read(_LONGEST_COMMAND_LINE)
    except OSError:
        return b""


def arguments(pid: int, proc: Path = PROC) -> tuple[str, ...]:
    """The command line of a process; empty when it is gone. Hostile. A process that gave itself
    a title (redis) leaves empty words behind it."""
    words = command_line(pid, proc).split(b"\0")[:-1]
    while words and not words[-1]:
        words.pop()
    return tuple(word.decode(errors="backslashreplace") for word in words)


def cgroup(pid: int, proc: Path = PROC) -> str:
    """The control groups of a process, a line each; empty when it is gone."""
    try:
        return (proc / str(pid) / "cgroup").read_text(errors="backslashreplace")
    except OSError:
        return ""


def processes(proc: Path = PROC) -> Iterator[int]:
    """All pids."""
    return (int(name) for name in os.listdir(proc) if name.isdecimal())


def threads(pid: int, proc: Path = PROC) -> list[int]:
    """The threads of a process; none when it is gone."""
    try:
        return [int(name) for name in os.listdir(proc / str(pid) / "task")]
    except OSError:
        return []


def is_busy(pid: int, proc: Path = PROC) -> bool:
    """True if one of its threads runs, or waits for a processor or a disk."""
    return any(state(thread, proc) in ("R", "D") for thread in threads(pid, proc))


def process_of(thread: int, proc: Path = PROC) -> int | None:
    """The process that a thread belongs to; None when it is gone."""
    with suppress(OSError):
        return int(_status(thread, proc)["Tgid"])
    return None


def parent(pid: int, proc: Path = PROC) -> int:
    """The parent of a process; 0 when it is gone or has none."""
    with suppress(OSError):
        return int(_stat(pid, proc)[1])
    return 0


def namespace(pid: int, kind: str, proc: Path = PROC) -> int | None:
    """The inode number of one of its namespaces; None when it is gone."""
    try:
        return (proc / str(pid) / "ns" / kind).stat().st_ino
    except OSError:
        return None


def lives(pid: int, started: int, proc: Path = PROC) -> bool:
    """True if the process that started then still exists and is no zombie."""
    try:
        fields = _stat(pid, proc)
    except OSError:
        return False
    return int(fields[19]) == started and fields[0] not in (b"Z", b"X")


def mark() -> str:
    """This process in a file name: ``PID-STARTTIME``."""
    return f"{os.getpid()}-{start_time('self')}"


def available_memory() -> int:
    """Bytes that programs can have without swapping; 0 where that is unknown."""
    with suppress(OSError), open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return 0


def abandoned(folder: Path, prefix: str) -> list[Path]:
    """The entries of a folder that are named by ``prefix`` and a ``mark``, and whose process is
    gone."""
    marked = []
    for name in os.listdir(folder) if os.access(folder, os.R_OK) else ():
        fields = name.removeprefix(prefix).split("-") if name.startswith(prefix) else []
        if len(fields) > 2 and fields[0].isdecimal() and fields[1].isdecimal():
            marked.append((folder / name, (int(fields[0]), int(fields[1]))))
    return [path for path, process in marked if not is_there(*process)]


def is_there(pid: int, started: int, proc: Path = PROC) -> bool:
    """True if the process that started then exists, even as a zombie: its parent cleans up. List
    first, then ask: a listed process may have just begun. True also if the process cannot be read
    (too many open files): in doubt, nothing of it is removed."""
    try:
        return start_time(pid, proc) == started
    except (FileNotFoundError, ProcessLookupError):
        return False
    except OSError:
        return True


def is_marked(mark: str) -> bool:
    """``is_there`` for a ``mark``."""
    pid, _, started = mark.partition("-")
    return pid.isdecimal() and started.isdecimal() and is_there(int(pid), int(started))


def parse_sockets(text: str) -> dict[int, tuple[str, int]]:
    """``/proc/net/tcp`` and its like: inode → (address, port). A connection that came in has the
    port of the socket that listens, and is left out: nobody has bound it."""
    lines = [fields for line in text.splitlines()[1:] if len(fields := line.split()) >= 10]
    sockets, listening = {}, set()
    for fields in lines:
        address, _, port = fields[1].partition(":")
        sockets[int(fields[9])] = (_address(address), int(port, 16)), fields[3]
        if fields[3] == _LISTENS:
            listening.add(int(port, 16))
    return {
        inode: place
        for inode, (place, state) in sockets.items()
        if state == _LISTENS or place[1] not in listening
    }


_LISTENS = "0A"
"""TCP_LISTEN of the kernel's net/tcp_states.h. Ports of UDP are never listened to."""


def _address(hexadecimal: str) -> str:
    words = struct.pack(
        f"={len(hexadecimal) // 8}I",
        *(int(hexadecimal[at : at + 8], 16) for at in range(0, len(hexadecimal), 8)),
    )
    if len(words) == 4:
        return ".".join(str(byte) for byte in words)
    return "[::]" if not any(words) else f"[{words.hex(':', 2)}]"


def local_sockets(proc: Path = PROC) -> set[str]:
    """The paths of the local sockets of our network that are open."""
    lines = (proc / "net/unix").read_text(errors="surrogateescape").splitlines()[1:]
    return {fields[7] for line in lines if len(fields := line.split(maxsplit=7)) > 7}


def sockets(pid: int, proc: Path = PROC) -> set[int]:
    """The inodes of the sockets that a process has open, as far as they can be read."""
    inodes = set()
    with suppress(OSError):  # it has ended, or may not be read
        for fd in os.listdir(proc / str(pid) / "fd"):
            with suppress(OSError):  # it was closed
                link = os.readlink(proc / str(pid) / "fd" / fd)
                if link.startswith("socket:["):
                    inodes.add(int(link[8:-1]))
    return inodes


def low_ports(pid: int, proc: Path = PROC) -> list[str]:
    """The addresses below port 1024 that a process has bound: ``tcp 0.0.0.0:80``."""
    inodes = sockets(pid, proc)
    ports = []
    for protocol in ("tcp", "tcp6", "udp", "udp6"):
        try:
            bound = parse_sockets((proc / str(pid) / "net" / protocol).read_text())
        except OSError:
            continue
        for inode, (address, port) in bound.items():
            if inode in inodes and 0 < port < 1024:
                ports.append(f"{protocol.rstrip('6')} {address}:{port}")
    return sorted(ports)


def is_first(pid: int, proc: Path = PROC) -> bool:
    """True if it is process 1 of a pid namespace."""
    with suppress(OSError):
        return _status(pid, proc).get("NSpid", "").split()[1:][-1:] == ["1"]
    return False


def handles(pid: int, number: int, proc: Path = PROC) -> bool:
    """True if a process catches a signal or waits for it: tini by sigtimedwait(2), which lifts the
    block while it waits, systemd by signalfd(2). True also if the process is gone. Between two
    waits a process does not show it: a negative answer is checked again."""
    return any(_handles(pid, number, proc, after) for after in (0, 0.01, 0.02))


def _handles(pid: int, number: int, proc: Path, after: float) -> bool:
    time.sleep(after)
    try:
        fields = _status(pid, proc)
        waits_in = (proc / str(pid) / "wchan").read_text(errors="replace")
    except OSError:
        return True
    masks = int(fields["SigCgt"], 16) | int(fields["SigBlk"], 16)
    return bool(masks >> (number - 1) & 1) or "sigtimedwait" in waits_in


def sysctl_file(name: str, proc: Path = PROC) -> Path:
    """The file of a setting."""
    return proc / "sys" / name.replace(".", "/")


def sysctl(name: str, proc: Path = PROC) -> str | None:
    """A setting by its dotted name; None where the kernel has none."""
    try:
        return sysctl_file(name, proc).read_text().strip()
    except OSError:
        return None


def active_lsms() -> tuple[str, ...]:
    """The security modules in the order in which they are asked."""
    try:
        text = Path("/sys/kernel/security/lsm").read_text()
    except OSError:
        return ()
    return tuple(name for name in text.strip().split(",") if name)


def last_cap(proc: Path = PROC) -> int:
    """The highest capability that the kernel knows."""
    return int((proc / "sys/kernel/cap_last_cap").read_text())


def credentials(pids: list[int], proc: Path = PROC) -> tuple[Credentials, ...]:
    """Those of each process that is still there."""
    users = []
    for pid in pids:
        with suppress(OSError):
            fields = _status(pid, proc)
            if fields["State"].startswith(("Z", "X")):
                continue
            uids, gids = (
                ids if len({*ids}) > 1 else ids[:1]
                for ids in (fields[name].split()[:3] for name in ("Uid", "Gid"))
            )
            groups = [group for group in fields["Groups"].split() if group != gids[len(gids) > 1]]
            ids = (" ".join(uids), " ".join(gids), " ".join(groups))
            limits = (fields.get(name, "0") for name in ("NoNewPrivs", "Seccomp_filters"))
            users.append(Credentials(fields["Name"], *ids, _masks(fields), *map(int, limits)))
    return tuple(sorted(users))


def boot_time() -> float:
    """When the machine was booted, in seconds since 1970."""
    line = re.search(r"^btime (\d+)", (PROC / "stat").read_text(), re.MULTILINE)
    return float(line[1]) if line else 0.0


def began(pid: int) -> float:
    """When a process began, in seconds since 1970; infinity if it does not exist."""
    try:
        return boot_time() + start_time(pid) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return math.inf


def busy_seconds() -> float:
    """The working time of all processors together since the machine started."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _idle, _waiting, *interrupts = map(int, file.readline().split()[1:9])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
