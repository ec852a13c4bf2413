"""Runs a command with a filter that refuses capset where its arguments lie on the stack.

Usage: setarch -R no_capset.py COMMAND…      (addresses as they are without randomization)
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

NUMBER = {"x86_64": 126, "aarch64": 91}[os.uname().machine]
STACK = 0xFE000000
"""The lower half of an address on the stack is above, that of any other below."""
CODE = [
    (0x20, 0, 0, 0),  # the number
    (0x15, 0, 3, NUMBER),
    (0x20, 0, 0, 16),  # the lower half of the first argument
    (0x35, 0, 1, STACK),
    (0x06, 0, 0, 0x00050001),  # EPERM
    (0x06, 0, 0, 0x7FFF0000),  # allowed
]

raw = b"".join(struct.pack("<HBBI", *item) for item in CODE)
code = ctypes.create_string_buffer(raw, len(raw))
program = ctypes.create_string_buffer(struct.pack("@HP", len(CODE), ctypes.addressof(code)), 16)
if ctypes.CDLL(None).prctl(22, 2, program, 0, 0):
    sys.exit("the filter was not installed")
os.execvp(sys.argv[1], sys.argv[1:])
