"""What is typed before the app has the terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import termios

from capadvise.tui.early import early_keys

QUESTION = b"\x1b]11;?\x1b\\"


def test_keys_from_before_and_between_the_answers_of_the_terminal_are_kept() -> None:
    outer, inner = pty.openpty()
    before = termios.tcgetattr(inner)
    os.write(outer, b"4\r")  # a terminal that is not ours makes a newline of Enter
    with early_keys(inner) as keys:
        os.write(outer, b"j\x1b]11;rgb:0000/1111/2222\x1b\\k\x1b[?62;c\r")
        answer = keys.ask(QUESTION, re.compile(rb"\x1b\[\?[0-9;]*c"), 5)
        assert b"rgb:0000/1111/2222" in answer
        shown = b""
        while not shown.endswith(QUESTION):  # a worker of the kernel brings it, in parts
            assert select.select([outer], [], [], 60)[0], shown
            shown += os.read(outer, 100)
        assert keys.take() == "4\rjk\r"
        assert keys.take() == ""
        mode = termios.tcgetattr(inner)
        assert not mode[3] & (termios.ECHO | termios.ICANON)
        assert mode[3] & termios.ISIG
    assert termios.tcgetattr(inner) == before
    os.close(inner)
    os.close(outer)


def test_a_terminal_that_does_not_answer_is_not_waited_for() -> None:
    outer, inner = pty.openpty()
    with early_keys(inner) as keys:
        assert keys.ask(QUESTION, re.compile(b"c"), 0.01) == b""
        assert keys.take() == ""
    os.close(inner)
    os.close(outer)
