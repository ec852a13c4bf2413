"""Open FILE for reading in an io_uring worker thread (IOSQE_ASYNC): io_uring_open.py FILE.

Offsets and constants are those of linux/io_uring.h.
"""

import ctypes
import mmap
import os
import struct
import sys

SETUP, ENTER = 425, 426
GETEVENTS, ASYNC, OPENAT = 1, 1 << 4, 18
AT_FDCWD = -100

libc = ctypes.CDLL(None, use_errno=True)
params = ctypes.create_string_buffer(120)
ring = libc.syscall(SETUP, 8, params)
if ring < 0:
    raise SystemExit(os.strerror(ctypes.get_errno()))
sq = struct.unpack_from("<10I", params.raw, 40)  # head, tail, ring_mask, …, array
cq = struct.unpack_from("<10I", params.raw, 80)  # head, tail, ring_mask, …, overflow, cqes
size = max(sq[6] + 8 * 4, cq[5] + 16 * 16)
rings = mmap.mmap(ring, size, offset=0)
entries = mmap.mmap(ring, 8 * 64, offset=0x10000000)
path = ctypes.create_string_buffer(os.fsencode(sys.argv[1]))
struct.pack_into(
    "<BBHiQQIIQ",
    entries,
    0,
    OPENAT,
    ASYNC,
    0,
    AT_FDCWD,
    0,
    ctypes.addressof(path),
    0,
    os.O_RDONLY,
    7,
)
struct.pack_into("<I", rings, sq[6], 0)
struct.pack_into("<I", rings, sq[1], 1)
if libc.syscall(ENTER, ring, 1, 1, GETEVENTS, None, 0) < 0:
    raise SystemExit(os.strerror(ctypes.get_errno()))
_, result, _ = struct.unpack_from("<QiI", rings, cq[5])
if result < 0:
    raise SystemExit(os.strerror(-result))
