"""Looks at its capabilities and drops one after the other, as sssd does."""

import ctypes

libc = ctypes.CDLL(None)
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
sets = (ctypes.c_uint32 * 6)()
for dropped in range(64):
    low, half = dropped % 32, dropped // 32
    if libc.capget(header, sets):
        raise OSError("capget")
    sets[half * 3] &= ~(1 << low)
    sets[half * 3 + 1] &= ~(1 << low)
    if libc.capset(header, sets):
        raise OSError("capset")
