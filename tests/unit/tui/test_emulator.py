"""A terminal in memory: what a real one would show, and nothing that steers one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capadvise.tui.output import key_bytes
from capadvise.tui.terminal import MOST, Terminal


def shown(*written: bytes, columns: int = 40, rows: int = 6) -> list[str]:
    terminal = Terminal(columns, rows)
    for data in written:
        terminal.feed(data)
        while not terminal.turn():
            pass
    return terminal.text()


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        (b"one\r\ntwo\r\n\r\nrest", ["one", "two", "", "rest"]),
        (b"\x1b[1;31mred\x1b[0m \x1b(Bplain\x1b=", ["red plain"]),
        (b"\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", ["alink"]),
        (b"\x1bP1;2q picture \x1b\\after", ["after"]),
        (b"\x1b]52;c;c2VjcmV0\x07after", ["after"]),
        (b"10 %\r20 %\r\x1b[Kdone", ["done"]),
        (b"password\b\b\bXYZ", ["passwXYZ"]),
        (b"tab\tstop\x07\x00", ["tab     stop"]),
        (b"\xff \xe2\x82\xac \xe2\x80\xaegnp.exe", ["\ufffd € \ufffdgnp.exe"]),
        ("\x9b31m x".encode(), ["\ufffd31m x"]),
        (b"[bold]markup[/]", ["[bold]markup[/]"]),
        (b"\x1b[>4;2mkeys\x1b[?4m \x1b[2 q\x1b[!pend", ["keys end"]),
        (b"=\x1b[9b|", ["==========|"]),
        (b"a\x1b[1;2;3;4;5Ab", ["ab"]),
        (b"\x1b(0lqk\x1b(B", ["┌─┐"]),
        (b"1\r\n2\r\n3\x1b[2S\x1b[1;1Htop", ["top"]),
    ],
)
def test_what_is_written_is_shown_as_a_terminal_shows_it(written: bytes, lines: list[str]) -> None:
    assert shown(written) == lines
    assert shown(*(bytes([byte]) for byte in written)) == lines


def test_a_full_screen_program_leaves_what_was_there_before() -> None:
    terminal = Terminal(20, 4)
    terminal.feed(b"$ vim\r\n\x1b[?1049h\x1b[H\x1b[2Jfile\x1b[4;1H-- INSERT --")
    assert terminal.screen.alternate
    assert terminal.text() == ["file", "", "", "-- INSERT --"]
    terminal.feed(b"\x1b[?1049l$ ")
    assert terminal.text() == ["$ vim", "$"]


def test_line_editing_moves_and_inserts() -> None:
    assert shown(b"$ echo\x1b[4D\x1b[2P\x1b[2@xx", b"\x1b[1@y") == ["$ xxyho"]


def test_a_question_to_the_terminal_is_answered() -> None:
    terminal = Terminal(20, 4)
    terminal.feed(b"ab\x1b[6n\x1b[c\x1b[5n")
    assert terminal.replies() == b"\x1b[1;3R\x1b[?6c\x1b[0n"
    assert terminal.replies() == b""


def test_a_smaller_terminal_keeps_what_scrolls_out() -> None:
    terminal = Terminal(20, 5)
    terminal.feed(b"1\r\n2\r\n3\r\n4\r\n5")
    terminal.resize(20, 2)
    assert terminal.text() == ["1", "2", "3", "4", "5"]
    terminal.resize(20, 5)
    terminal.feed(b"\r\n6")
    assert terminal.text() == ["1", "2", "3", "4", "5", "6"]


def test_a_flood_is_kept_in_order_and_memory_is_bounded() -> None:
    lines = [b"line %d" % number for number in range(3 * MOST)]
    text = shown(b"\r\n".join(lines))
    assert text == [line.decode() for line in lines[-len(text) :]]
    assert MOST <= len(text) <= MOST + 6
    assert len(shown(b"x" * 3_000_000, b"\r\nend")[-1]) == 3


_PIECES = st.sampled_from(
    [
        *(b"\x1b[", b"\x1b]", b"\x1bP", b"\x1b", b"?", b";", b":", b"1049", b"99999999", b" "),
        *(bytes([final]) for final in b"hlrmSTbZLM@PXAHJKncus"),
        *(b"\r", b"\n", b"\t", b"\b", b"\x0e", b"\x1b(0", b"\x1bc", b"\x1b#8", b"abc"),
        *("é漢字\u202e\u0301".encode(), b"\xff\x9b", b"\x1b\\", b"\x07"),
    ]
)


@given(st.lists(_PIECES, max_size=120), st.integers(1, 60), st.integers(1, 20), st.integers(1, 9))
def test_nothing_that_is_written_breaks_it_or_steers_ours(
    pieces: list[bytes], columns: int, rows: int, smaller: int
) -> None:
    terminal = Terminal(columns, rows)
    for data in (b"".join(pieces), b"".join(reversed(pieces))):
        terminal.feed(data)
        while not terminal.turn():
            pass
        for line in terminal.text():
            assert line.replace("\xa0", "").isprintable()
        for number in range(terminal.rows):
            terminal.row(number)
        terminal.resize(smaller, smaller)


def test_a_sequence_that_another_one_breaks_off_is_not_joined_with_it() -> None:
    """A control character in the second one came between them: pyte raised TypeError."""
    terminal = Terminal(10, 2)
    terminal.feed(b"a\x1b[??\x1b[?\rrb")
    while not terminal.turn():
        pass
    assert terminal.text() == ["b"]


@pytest.mark.parametrize(
    ("key", "character", "sent"),
    [
        ("a", "a", b"a"),
        ("Ä", "Ä", "Ä".encode()),
        ("enter", "\r", b"\r"),
        ("backspace", "\x7f", b"\x7f"),
        ("ctrl+c", "\x03", b"\x03"),
        ("ctrl+d", None, b"\x04"),
        ("up", None, b"\x1b[A"),
        ("ctrl+right", None, b"\x1b[1;5C"),
        ("alt+b", None, b"\x1bb"),
        ("f5", None, b"\x1b[15~"),
        ("f35", None, b""),
    ],
)
def test_keys_become_what_a_terminal_sends(key: str, character: str | None, sent: bytes) -> None:
    assert key_bytes(key, character) == sent


def test_cursor_keys_follow_the_mode_that_the_program_asked_for() -> None:
    terminal = Terminal(20, 4)
    terminal.feed(b"\x1b[?1h")
    assert key_bytes("up", None, application=terminal.screen.application_keys) == b"\x1bOA"


@pytest.mark.parametrize(
    "odd",
    [
        b"\x1b[8K",
        b"\x1b[? 0e",
        b"\x1b[?\x07r",
        b"\x1b[?\x1b[?r",
        b"\x1b[??r",
        b"\x1b[1?r",
        b"\x1b[?1?A",
        b"\x1b[<?5r",
        b"\x1b[?1r",
    ],
)
def test_an_odd_control_sequence_is_left_out(odd: bytes) -> None:
    """pyte's own functions do not take every mark."""
    terminal = Terminal(5, 2)
    terminal.feed(odd + b"ab")
    assert [line.rstrip() for line in terminal.text()] == ["ab"]


def test_a_control_within_a_sequence_is_obeyed_before_it() -> None:
    terminal = Terminal(20, 4)
    terminal.feed(b"ab\x1b[3\x08Cd")  # as xterm: back by one, forward by three
    assert terminal.text() == ["ab  d"]
    terminal.feed(b"\r\n\x1b[3\n")
    terminal.feed(b"1mred")  # a sequence goes on in the next piece
    assert terminal.text() == ["ab  d", "", "red"]
