"""Put a system call filter around oneself, as browsers do: here one that allows everything."""

import ctypes
import os
import struct
import sys

SET_SECCOMP, FILTER, ALLOW = 22, 2, 0x7FFF0000

libc = ctypes.CDLL(None, use_errno=True)
code = ctypes.create_string_buffer(struct.pack("<HBBI", 0x06, 0, 0, ALLOW))  # return ALLOW
program = struct.pack("<H6xQ", 1, ctypes.addressof(code))
if libc.prctl(SET_SECCOMP, FILTER, program, 0, 0) < 0:
    sys.exit(f"seccomp: {os.strerror(ctypes.get_errno())}")
print("filtered")
