"""Load a small BPF program, as a tracing agent does: return 0 at a tracepoint."""

import ctypes
import os
import struct
import sys

BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]  # numbers of the system call
PROG_LOAD, TRACEPOINT = 5, 5
CODE = struct.pack("<BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)  # r0 = 0; exit

libc = ctypes.CDLL(None, use_errno=True)
code, licence = ctypes.create_string_buffer(CODE), ctypes.create_string_buffer(b"MIT")
attributes = struct.pack(
    "<IIQQ24x", TRACEPOINT, 2, ctypes.addressof(code), ctypes.addressof(licence)
).ljust(128, b"\0")
if libc.syscall(BPF, PROG_LOAD, attributes, len(attributes)) < 0:
    sys.exit(f"bpf: {os.strerror(ctypes.get_errno())}")
print("loaded")
