"""Who sleeps, and for how long."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

from capadvise.catalog import default
from capadvise.catalog.syscalls import MACHINES
from capadvise.kernel.procfs import PROC

_TIMER_ABSTIME = 1
"""linux/time.h"""
_OF_CLOCK = "clock_nanosleep"
TIME_AT = {"nanosleep": 0, _OF_CLOCK: 2}
"""The calls that sleep, and which argument is the time."""


def seconds(pid: int, proc: Path = PROC) -> float:
    """Seconds of the sleep that its first thread is in; 0 where it is in none. It takes what ptrace
    takes, and is 0 without that."""
    try:
        words = (proc / str(pid) / "syscall").read_text().split()
        number = int(words[0])  # "running" is none
        call = default().syscalls.name(MACHINES.get(os.uname().machine, 0), number)
        if call not in TIME_AT:
            return 0.0
        clock, flags, *_ = (int(word, 16) for word in words[1:])
        with open(proc / str(pid) / "mem", "rb", buffering=0) as memory:
            memory.seek(int(words[1 + TIME_AT[call]], 16))
            whole, billionths = struct.unpack("2q", memory.read(16))
        until = call == _OF_CLOCK and flags & _TIMER_ABSTIME
        left: float = whole + billionths / 1e9 - (time.clock_gettime(clock) if until else 0.0)
    except (OSError, ValueError, IndexError, OverflowError, struct.error):
        return 0.0
    return max(0.0, left)
