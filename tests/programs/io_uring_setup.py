"""Set up an io_uring and do nothing with it."""

import ctypes
import os

IO_URING_SETUP = 425
libc = ctypes.CDLL(None, use_errno=True)
if libc.syscall(IO_URING_SETUP, 8, ctypes.create_string_buffer(120)) < 0:
    raise SystemExit(os.strerror(ctypes.get_errno()))
