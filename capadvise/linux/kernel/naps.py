"""Who sleeps, and for how long."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

from capadvise.linux.kernel.procfs import PROC

_OF_CLOCK = 2
_TIMER_ABSTIME = 1
"""linux/time.h"""
CALLS = {
    "x86_64": {35: 0, 230: _OF_CLOCK},
    "aarch64": {101: 0, 115: _OF_CLOCK},
    "riscv64": {101: 0, 115: _OF_CLOCK},
}
"""``uname -m`` → number of nanosleep(2) and clock_nanosleep(2) → which argument is the time."""


def seconds(pid: int, proc: Path = PROC) -> float:
    """Seconds of the sleep that its first thread is in; 0 where it is in none. It takes what ptrace
    takes, and is 0 without that."""
    try:
        words = (proc / str(pid) / "syscall").read_text().split()
        given = CALLS.get(os.uname().machine, {}).get(int(words[0]))  # "running" is no number
        if given is None:
            return 0.0
        clock, flags, *_ = (int(word, 16) for word in words[1:])
        with open(proc / str(pid) / "mem", "rb", buffering=0) as memory:
            memory.seek(int(words[1 + given], 16))
            whole, billionths = struct.unpack("2q", memory.read(16))
        until = given == _OF_CLOCK and flags & _TIMER_ABSTIME
        left: float = whole + billionths / 1e9 - (time.clock_gettime(clock) if until else 0.0)
    except (OSError, ValueError, IndexError, OverflowError, struct.error):
        return 0.0
    return max(0.0, left)
