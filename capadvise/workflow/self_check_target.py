"""The target of ``doctor --self-test``: a program whose needs are known. See ``self_check``.

``self_check_target.py FILE``; the standard library alone. What is refused is passed over: that it
was refused is what capadvise is to see.
"""

import contextlib
import mmap
import os
import socket
import sys

PORT = 11
ID = 1
"""An id of another user that a user namespace with subordinate ids maps, too."""

if __name__ == "__main__":
    with contextlib.suppress(OSError):
        os.chown(sys.argv[1], ID, ID)  # CHOWN
    with contextlib.suppress(OSError):
        os.chroot("/")  # SYS_CHROOT
    with contextlib.suppress(OSError), socket.socket() as listening:
        listening.bind(("", PORT))  # NET_BIND_SERVICE
    # The kernel asks for SYS_ADMIN, and nothing depends on it: for its accounting, unless its
    # compiler has copied the check into that (Debian's 6.12); and for attributes of which none
    # is there.
    mmap.mmap(-1, 1 << 20)
    with contextlib.suppress(OSError):
        os.listxattr(os.memfd_create("listed"))
