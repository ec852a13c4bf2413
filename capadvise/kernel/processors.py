"""How much the processors of this machine have worked."""

from __future__ import annotations

import os


def busy_seconds() -> float:
    """Of all processors together, since the machine started."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _idle, _waiting, *interrupts = map(int, file.readline().split()[1:9])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
