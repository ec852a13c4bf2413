"""Trials begin with what the recorded command was given to read, where that can be had again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from capadvise.kernel import own_streams
from capadvise.targets.client.invocation import recognize


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """A pipe in the place of the standard input."""
    reading, writing = os.pipe()
    monkeypatch.setattr(own_streams, "_STDIN", reading)
    yield reading, writing
    os.close(reading)


def test_a_file_is_read_again_from_where_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").write_text("first\nsecond\n")
    with (tmp_path / "f").open("rb", buffering=0) as file:
        file.read(6)
        monkeypatch.setattr(own_streams, "_STDIN", file.fileno())
        before = own_streams.state()
        file.read()
        assert own_streams.offset(before) == 6
        assert own_streams.cautions(before) == ()
        assert len(own_streams.cautions(before, of_container=True)) == 1


@pytest.mark.parametrize("name", [os.devnull, "closed", "write-only"])
def test_nothing_is_read_from_what_holds_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fd = os.open(name if name == os.devnull else tmp_path / name, os.O_WRONLY | os.O_CREAT)
    monkeypatch.setattr(own_streams, "_STDIN", 1 << 20 if name == "closed" else fd)
    assert own_streams.state() == {}
    os.close(fd)


@pytest.mark.parametrize("written", ["before", "meanwhile"])
def test_what_came_through_a_pipe_is_missed(given: tuple[int, int], written: str) -> None:
    reading, writing = given
    if written == "before":
        os.write(writing, b"x")
    before = own_streams.state()
    if written == "meanwhile":
        os.write(writing, b"x")
    os.read(reading, 1)
    os.close(writing)
    assert own_streams.offset(before) is None
    assert len(own_streams.cautions(before)) == 1


@pytest.mark.parametrize("closed", [True, False])
def test_a_pipe_into_which_nobody_writes_is_no_input(given: tuple[int, int], closed: bool) -> None:
    writing = given[1]
    if closed:
        os.close(writing)
    assert own_streams.cautions(own_streams.state()) == ()
    if not closed:
        os.close(writing)


@pytest.mark.parametrize(
    ("words", "reads"),
    [
        ("docker run -i image", True),
        ("docker run image", False),
        ("docker compose up", False),
        ("docker compose run service", True),
    ],
)
def test_only_some_containers_read_it(words: str, reads: bool) -> None:
    invocation = recognize(words.split())
    assert invocation is not None
    assert invocation.reads is reads
