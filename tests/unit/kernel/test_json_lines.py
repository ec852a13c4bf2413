"""Values over a pipe."""

import os
from collections.abc import Iterator

import pytest

from capadvise.kernel import json_lines


@pytest.fixture
def pipe() -> Iterator[tuple[json_lines.LineReader, int]]:
    read, write = os.pipe()
    yield json_lines.LineReader(read), write
    os.close(read)
    os.close(write)


def test_a_value_can_come_in_pieces(pipe: tuple[json_lines.LineReader, int]) -> None:
    reader, write = pipe
    os.set_blocking(reader.fd, False)
    os.write(write, b'{"one": 1}\n{"tw')
    assert reader.drain() == [{"one": 1}]
    assert reader.drain() == []
    os.write(write, b'o": 2}\n"three"\n')
    assert reader.drain() == [{"two": 2}, "three"]
    assert not reader.ended


def test_waiting_outlasts_a_piece(pipe: tuple[json_lines.LineReader, int]) -> None:
    reader, write = pipe
    if os.fork() == 0:
        os.write(write, b'["a"')
        os.write(write, b"]\n")
        os._exit(0)
    assert reader.wait() == ["a"]
    os.wait()


def test_the_end_is_told() -> None:
    read, write = os.pipe()
    reader = json_lines.LineReader(read)
    json_lines.send(write, {"last": None})
    os.close(write)
    assert reader.drain() == [{"last": None}]
    assert reader.ended
    assert reader.wait() is None
    os.close(read)


def test_a_value_larger_than_the_pipe_comes_whole(
    pipe: tuple[json_lines.LineReader, int],
) -> None:
    reader, write = pipe
    text = "x" * 200_000
    if os.fork() == 0:
        json_lines.send(write, text)
        os._exit(0)
    assert reader.wait() == text
    os.wait()


def test_nobody_reads() -> None:
    read, write = os.pipe()
    os.close(read)
    json_lines.send(write, "lost")
    os.close(write)


def test_lines_of_a_writer_that_is_not_ours_are_not_decoded(
    pipe: tuple[json_lines.LineReader, int],
) -> None:
    reader, write = pipe
    os.set_blocking(reader.fd, False)
    os.write(write, b"no JSON\n")
    assert reader.drain_lines() == [b"no JSON"]


def test_a_line_without_an_end_does_not_fill_memory(
    pipe: tuple[json_lines.LineReader, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its beginning is kept, which is no value; what comes after it is read."""
    reader, write = pipe
    monkeypatch.setattr(json_lines, "LONGEST_LINE", 1000)
    os.set_blocking(reader.fd, False)
    for _ in range(100):
        os.write(write, b"[" * 5000)
        assert reader.drain_lines() == []
    assert len(reader._rest) == 1000
    os.write(write, b'\n{"next": 1}\n{"la')
    assert reader.drain_lines() == [b"[" * 1000, b'{"next": 1}']
    os.write(write, b'st": 2}\n')
    assert reader.drain() == [{"last": 2}]


def test_who_writes_without_a_pause_holds_nobody_up() -> None:
    """What is written faster than it is read is read the next time."""
    reader = json_lines.LineReader(os.open("/dev/zero", os.O_RDONLY))
    for _ in range(3):
        assert reader.drain_lines() == []
    assert len(reader._rest) <= 3 << 20
    os.close(reader.fd)
