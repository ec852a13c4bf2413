"""What is known of a thread and of a process that are traced. Values and small sums, no ptrace."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum

from capadvise.linux.retry.attempts import Attempts, bit
from capadvise.linux.retry.calls import Kind

DAC_OVERRIDE, DAC_READ_SEARCH, FSETID, SETGID, SETUID = 1, 2, 4, 6, 7
SYS_ADMIN, SETFCAP, BLOCK_SUSPEND = 21, 31, 36
KEPT = bit(FSETID) | bit(BLOCK_SUSPEND)
"""They stay effective: their refusal is silent (set-id bits at a write, EPOLLWAKEUP)."""


class Phase(IntEnum):
    """Where a thread stands between two stops."""

    FREE = 0
    """In the program."""
    CALL = 1
    """In a call of the program's, whose result will be looked at."""
    INJECT = 2
    """About to make, or in, a capset of ours."""
    SKIP = 3
    """On the way out of a call that was turned into none."""
    AGAIN = 4
    """Back before a call that it is to make again."""


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that is looked at."""

    name: str
    kind: Kind


@dataclass(slots=True)
class Process:
    """What threads share."""

    pid: int
    hot: dict[int, bool] = field(default_factory=dict)
    """Descriptors of files below /proc and /sys; True: it shows less without an error."""
    in_pseudo: bool = False
    """The working directory lies there."""
    memory_fd: int = -1
    threads: int = 0

    def fork(self, pid: int) -> Process:
        """A child has the same descriptors and directory, and memory of its own."""
        return Process(pid, dict(self.hot), self.in_pseudo)

    def look_for_pseudo(self) -> None:
        """Descriptors that it was started with."""
        with suppress(OSError):
            for fd in map(int, os.listdir(f"/proc/{self.pid}/fd")):
                if is_pseudo(self.folder(fd)):
                    self.hot[fd] = False
        self.in_pseudo = is_pseudo(self.folder(-1))

    def exec(self) -> None:
        """New memory; descriptors that were to be closed are closed."""
        self.close()
        self.hot = {
            fd: silent for fd, silent in self.hot.items() if os.path.exists(self.fd_path(fd))
        }

    def close(self) -> None:
        """Let go of the memory."""
        if self.memory_fd >= 0:
            os.close(self.memory_fd)
            self.memory_fd = -1

    def fd_path(self, fd: int) -> str:
        """Where /proc shows a descriptor."""
        return f"/proc/{self.pid}/fd/{fd}"

    def text(self, address: int) -> bytes:
        """See ``decode.Memory``."""
        return self.raw(address, 4096).partition(b"\0")[0]

    def raw(self, address: int, size: int) -> bytes:
        """See ``decode.Memory``."""
        if not address or address >> 63:
            return b""
        if self.memory_fd < 0:
            try:
                self.memory_fd = os.open(f"/proc/{self.pid}/mem", os.O_RDWR | os.O_CLOEXEC)
            except OSError:
                return b""
        with suppress(OSError):
            return os.pread(self.memory_fd, size, address)
        return b""

    def write(self, address: int, data: bytes) -> bool:
        """Put bytes there; False where that cannot be."""
        self.raw(address, 1)
        try:
            return os.pwrite(self.memory_fd, data, address) == len(data)
        except OSError:
            return False

    def folder(self, fd: int) -> str:
        """See ``decode.Memory``."""
        where = f"/proc/{self.pid}/cwd" if fd < 0 else self.fd_path(fd)
        with suppress(OSError):
            return os.readlink(where)
        return f"descriptor {fd}"


def is_pseudo(path: str) -> bool:
    """Whether a path lies below /proc or /sys."""
    return path.startswith(("/proc/", "/sys/")) or path in ("/proc", "/sys")


@dataclass(slots=True)
class Thread:
    """A thread, its capability sets, and what it is about."""

    tid: int
    process: Process
    program: str = ""
    permitted: int = 0
    inheritable: int = 0
    virtual: int = 0
    """Its effective set as the program believes it to be: what it would have without us."""
    effective: int = 0
    """Its effective set as the kernel has it now."""
    uid: int = 0
    """Effective."""
    followed: bool = False
    """After the target's exec, and not in a user namespace of its own making."""
    filtered: bool = False
    """It has a seccomp filter of its own."""
    pinned: bool = False
    """Nothing can be injected any more: its sets stay as they are."""
    phase: Phase = Phase.FREE
    entered: bool = False
    """The injected call has been entered: the next stop is its end."""
    call: Call | None = None
    number: int = -1
    args: tuple[int, ...] = ()
    pointer: int = 0
    stack: int = 0
    began: int = 0
    """Nanoseconds (CLOCK_MONOTONIC) at the entry."""
    path: bytes = b""
    attempts: Attempts | None = None
    proven: tuple[tuple[int, int], ...] = ()
    """(capability, errno without it) that this call was already shown to need: its refusal
    changed to another one."""
    before: list[int] = field(default_factory=list)
    """Registers as they were before the instruction of the call."""
    saved: tuple[int, bytes] | None = None
    """Memory that an injected call's arguments lie on."""
    injecting: int = 0
    failures: int = 0

    def child(self, tid: int, process: Process) -> Thread:
        """What a new thread or process takes over."""
        return Thread(
            tid,
            process,
            self.program,
            self.permitted,
            self.inheritable,
            self.virtual,
            self.effective,
            self.uid,
            self.followed,
            self.filtered,
            self.pinned,
        )

    def text(self, address: int) -> bytes:
        """See ``decode.Memory``."""
        return self.process.text(address)


def after_uids(virtual: int, permitted: int, before: int, after: int, uid: int, now: int) -> int:
    """The effective set that a program would have after a successful setuid() and the like
    (cap_emulate_setxuid): leaving user 0 clears it, coming to be user 0 fills it, and with
    SECBIT_NO_SETUID_FIXUP nothing happens. ``before`` and ``after`` are what the kernel made of
    the set that was raised meanwhile; ``uid`` and ``now`` the effective user ids."""
    if uid == 0 and now != 0 and not after:
        return 0
    if after != before:
        return after
    return virtual & permitted


def parse_status(text: str) -> tuple[int, int, int, int]:
    """(effective uid, inheritable, permitted, effective) of ``/proc/TID/status``."""
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    masks = [int(fields[name], 16) for name in ("CapInh", "CapPrm", "CapEff")]
    return int(fields["Uid"].split()[1]), masks[0], masks[1], masks[2]
