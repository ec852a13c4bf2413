"""Lock all memory, now and later."""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
MCL_CURRENT, MCL_FUTURE = 1, 2
if libc.mlockall(MCL_CURRENT | MCL_FUTURE):
    raise SystemExit(os.strerror(ctypes.get_errno()))
