"""Changes the owner of a file by the 32-bit call: ``int80_chown.py FILE UID``."""

import ctypes
import mmap
import os
import sys

MAP_32BIT = 0x40
CHOWN32, KEEP = 212, 0xFFFFFFFF


def mov(opcode: int, value: int) -> bytes:
    return bytes([opcode]) + value.to_bytes(4, "little")


page = mmap.mmap(
    -1,
    4096,
    mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_32BIT,
    mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC,
)
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
page[:64] = sys.argv[1].encode().ljust(64, b"\0")
registers = mov(0xBB, address) + mov(0xB9, int(sys.argv[2])) + mov(0xBA, KEEP)
code = (
    b"\x53" + mov(0xB8, CHOWN32) + registers + b"\xcd\x80" + b"\x5b\xc3"
)  # push; int 0x80; pop; ret
page[64 : 64 + len(code)] = code
result = ctypes.CFUNCTYPE(ctypes.c_int)(address + 64)()
os._exit(0 if result == 0 else 1)  # the page is still in use
