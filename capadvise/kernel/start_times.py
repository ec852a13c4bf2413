"""When this machine was booted, and when a process began, by the clock on the wall."""

from __future__ import annotations

import math
import os
import re

from capadvise.kernel.procfs import PROC, start_time


def boot_time() -> float:
    """In seconds since 1970."""
    line = re.search(r"^btime (\d+)", (PROC / "stat").read_text(), re.MULTILINE)
    return float(line[1]) if line else 0.0


def began(pid: int) -> float:
    """In seconds since 1970; infinity where there is no such process."""
    try:
        return boot_time() + start_time(pid) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return math.inf
