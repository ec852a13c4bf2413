"""A program's output as lines: what a terminal would show, and nothing that steers one."""

from __future__ import annotations

import pytest

from capadvise.tui.lines import LONGEST, MOST, OutputLines
from capadvise.tui.output import key_bytes, wrapped


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"one\r\ntwo\n\nrest", ["one", "two", "", "rest"]),
        (b"\x1b[1;31mred\x1b[0m \x1b(Bplain\x1b=", ["red plain"]),
        (b"\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", ["alink"]),
        (b"\x1bP1;2q picture \x1b\\after", ["after"]),
        (b"\x1b]no end of it\r\nnext", ["", "next"]),
        (b"10 %\r20 %\r\x1b[Kdone\r\n", ["done", ""]),
        (b"password\b\b\bXYZ", ["passwXYZ"]),
        (b"tab\tstop\x07\x00", ["tab     stop"]),
        (b"\xff \xe2\x82\xac \xe2\x80\xaegnp.exe", ["\\xff € \\u202egnp.exe"]),
        (b"\x9b31m \x1b", ["\\x9b31m "]),
        ("\x9b31m \x07".encode(), ["\\x9b31m "]),
        (b"[bold]markup[/]", ["[bold]markup[/]"]),
    ],
)
def test_what_is_written_is_shown_harmlessly(written: bytes, shown: list[str]) -> None:
    at_once, by_bytes = OutputLines(), OutputLines()
    at_once.feed(written)
    for byte in written:
        by_bytes.feed(bytes([byte]))
    for lines in (at_once, by_bytes):
        assert [*lines.finished, lines.current] == shown


def test_memory_is_bounded_by_lines_and_characters() -> None:
    lines = OutputLines()
    for _ in range(3):
        lines.feed(b"y\r\n" * (MOST + 10) + b"z" * 3 * LONGEST)
    assert len(lines.finished) == MOST
    assert lines.total == 3 * (MOST + 10)
    assert len(lines.current) == LONGEST
    lines.feed(b"\x1b]" + b"x" * 3 * LONGEST)
    lines.feed(b"seen")
    assert lines.current.endswith("z")  # a full line takes no more
    lines.feed(b"\nseen")
    assert lines.current == "seen"


def test_lines_are_wrapped_by_cells() -> None:
    assert wrapped("abcdefgh", 3) == ["abc", "def", "gh"]
    assert wrapped("漢字漢字", 5) == ["漢字", "漢字"]
    assert wrapped("", 5) == [""]


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
        ("f5", None, b""),
    ],
)
def test_keys_become_what_a_terminal_sends(key: str, character: str | None, sent: bytes) -> None:
    assert key_bytes(key, character) == sent
