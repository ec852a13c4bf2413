"""The target's own terminal, without a screen."""

from __future__ import annotations

import os
import threading
import tty

from capadvise.observe.supervise.pty import Pty

LONG = b"0123456789abcdef" * 8000


def test_who_types_never_waits_and_a_target_that_reads_late_gets_it_all() -> None:
    terminal = Pty()
    tty.setraw(terminal.inner)
    typing = threading.Thread(target=terminal.type, args=(LONG,), daemon=True)
    typing.start()
    typing.join(20)
    assert not typing.is_alive()  # nobody reads: it would have blocked
    terminal.start(80, 24)
    read = b""
    while len(read) < len(LONG):
        read += os.read(terminal.inner, 1 << 16)
    assert read == LONG
    os.close(terminal.inner)  # ends the thread
