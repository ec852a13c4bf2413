"""What an odd program is, and what many of them need: other users' files and processes."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

PYTHON = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
"""One that every user can execute."""
IO_URING_OPEN = Path(__file__).parents[1] / "programs" / "io_uring_open.py"

PRELUDE = """\
import array, ctypes, errno, fcntl, mmap, os, resource, signal, socket, stat, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
libc.shmat.restype = ctypes.c_void_p
def checked(result, name):
    if result == -1:
        raise OSError(ctypes.get_errno(), name + ': ' + os.strerror(ctypes.get_errno()))
    return result
def wide(args):
    return [ctypes.c_long(a) if type(a) is int else a for a in args]
def call(name, *args):
    return checked(getattr(libc, name)(*wide(args)), name)
def syscall(number, *args):
    return checked(libc.syscall(*wide([number, *args])), f'system call {number}')
def errno_of(function, *args):
    try:
        function(*args)
    except OSError as error:
        return error.errno
    except ValueError:
        return errno.EPERM
    return 0
def pid():
    return int(open('pid').read())
def named(name):
    for entry in os.listdir('/proc'):
        if entry.isdigit():
            try:
                if open(f'/proc/{entry}/comm').read().strip() == name:
                    return f'/proc/{entry}'
            except OSError:
                pass
    sys.exit('no such process')
"""
"""What the programs in Python begin with."""


@dataclass(frozen=True)
class OddProgram:
    """A command and what must be true before and after it."""

    name: str
    kind: str
    """Why an advisor could misjudge it."""
    argv: tuple[str, ...]
    setup: str = ""
    check: str = "true"
    """Shell, with every capability, after the end."""
    stop_after: float | None = None
    """Seconds until it gets SIGTERM; then its exit status says nothing, and the check decides."""


PROGRAMS: list[OddProgram] = []


def sh(
    kind: str,
    name: str,
    text: str,
    setup: str = "",
    check: str = "true",
    stop_after: float | None = None,
) -> None:
    """Add a command of the shell."""
    PROGRAMS.append(OddProgram(name, kind, ("sh", "-c", text), setup, check, stop_after))


def py(
    kind: str,
    name: str,
    text: str,
    setup: str = "",
    check: str = "true",
    stop_after: float | None = None,
) -> None:
    """Add a program in Python."""
    argv = (PYTHON, "-c", PRELUDE + text)
    PROGRAMS.append(OddProgram(name, kind, argv, setup, check, stop_after))


USER = "setpriv --reuid=65534 --regid=65534 --clear-groups"
OTHER = f"""
cp /bin/sleep $N; {USER} ./$N 120 >/dev/null 2>&1 & echo $! > pid
until grep -q $N /proc/$(cat pid)/comm; do sleep 0.02; done
"""
"""A process of another user, with a name of its own."""
OWN = """
cp /bin/sleep $N; ./$N 120 >/dev/null 2>&1 & echo $! > pid
until grep -q $N /proc/$(cat pid)/comm; do sleep 0.02; done
"""
"""A process of the same user, with every capability."""
LISTENER = f"""
{USER} {PYTHON} -c "import socket, time; s = socket.create_server(('127.0.0.1', 18923))
open('/dev/null'); time.sleep(120)" >/dev/null 2>&1 & echo $! > pid
until ss -tln | grep -q 18923; do sleep 0.02; done
"""
FOREIGN = "echo content > f; chown 65534:65534 f; chmod 600 f"
READABLE = "echo content > f; chown 65534:65534 f; chmod 644 f"
CLOSED = "mkdir d; echo content > d/f; chown -R 65534:65534 d; chmod 700 d; chmod 644 d/f"
STICKY = "mkdir d; chmod 1777 d; chown 65533 d; echo x > d/f; chown 65534 d/f; chmod 666 d/f"
TMPFS = "mkdir m; mount -t tmpfs none m"
SEGMENT = f"""
{USER} {PYTHON} -c "import ctypes
libc = ctypes.CDLL(None)
print(libc.shmget(0x4f44, 8192, 0o1666))" > shm
"""
"""A segment of shared memory of another user, open to all."""
