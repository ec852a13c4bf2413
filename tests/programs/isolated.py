"""Execute another program in new pid and network namespaces of clone(2), as a sandbox does."""

import ctypes
import os
import platform
import signal

CLONE = {"x86_64": 56, "aarch64": 220}[platform.machine()]
NEWPID, NEWNET = 0x20000000, 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
pid = libc.syscall(CLONE, NEWPID | NEWNET | signal.SIGCHLD, 0, 0, 0, 0)
if pid == 0:
    os.execvp("true", ["true"])
if pid < 0:
    raise OSError(ctypes.get_errno(), "clone")
raise SystemExit(os.waitpid(pid, 0)[1])
