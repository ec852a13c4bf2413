"""Run a command under a seccomp filter: ``under_filter.py CALL ACTION COMMAND …``.

ACTION is an errno's name, ``KILL`` or ``TRAP``; with ``+LOG``, the kernel logs it. The filter
answers one call so and lets all others through: ``prctl=22`` only with this first argument.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

NUMBERS = {
    "x86_64": {
        "sethostname": 170,
        "mkdir": 83,
        "getcwd": 79,
        "capget": 125,
        "capset": 126,
        "unshare": 272,
        "prctl": 157,
    },
    "aarch64": {
        "sethostname": 161,
        "getcwd": 17,
        "capget": 90,
        "capset": 91,
        "unshare": 97,
        "prctl": 167,
    },
}
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # linux/filter.h
NUMBER, FIRST = 0, 16  # in struct seccomp_data; the lower half of the first argument
ERRNO, ALLOW = 0x00050000, 0x7FFF0000  # linux/seccomp.h
SIGNALS = {"KILL": 0x80000000, "TRAP": 0x00030000}
SECCOMP = {"x86_64": 317, "aarch64": 277}
SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG = 1, 2


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def main() -> None:
    call, action, *command = sys.argv[1:]
    action, log, _ = action.partition("+LOG")
    answer = SIGNALS[action] if action in SIGNALS else ERRNO | getattr(errno, action)
    call, _, first = call.partition("=")
    wanted = [(NUMBER, NUMBERS[platform.machine()][call])] + (
        [(FIRST, int(first))] if first else []
    )
    instructions = []
    for left, (place, value) in zip(range(len(wanted), 0, -1), wanted, strict=True):
        instructions += [(LOAD, 0, 0, place), (JUMP_IF_EQUAL, 0, 2 * left - 1, value)]
    instructions += [(RETURN, 0, 0, answer), (RETURN, 0, 0, ALLOW)]
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(code)
    program = Program(len(code) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    flags = SECCOMP_FILTER_FLAG_LOG if log else 0
    number = SECCOMP[platform.machine()]
    if libc.syscall(number, SECCOMP_SET_MODE_FILTER, flags, ctypes.byref(program)):
        sys.exit(f"cannot install the filter: {os.strerror(ctypes.get_errno())}")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
