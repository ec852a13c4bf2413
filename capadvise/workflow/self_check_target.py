"""The target of ``doctor --self-test``: a program with known needs. See ``self_check``.

``self_check_target.py FILE``; it uses the standard library alone. It ignores refusals: capadvise
has to see them."""

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
    # The kernel checks SYS_ADMIN twice, and nothing depends on the answer: for its accounting,
    # unless the compiler has inlined that check (Debian's 6.12), and for the list of attributes,
    # which is empty.
    mmap.mmap(-1, 1 << 20)
    with contextlib.suppress(OSError):
        os.listxattr(os.memfd_create("listed"))
