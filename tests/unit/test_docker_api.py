"""docker's API: what is asked, and every way in which an answer can be none."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from capadvise.linux.engines.cli.answer import NoAnswer, TooLate
from capadvise.linux.engines.cli.api import Api
from capadvise.linux.engines.cli.client import EngineError
from capadvise.linux.engines.cli.docker_client import DockerClient

Serve = Callable[..., DockerClient]
OK = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
FRAMES = OK.replace(b"json", b"vnd.docker.multiplexed-stream")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A docker that gives these answers, one for each question, which go into ``asked``."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()

        def start(*answers: bytes, asked: list[str] | None = None) -> DockerClient:
            def answer() -> None:
                for one in answers:
                    peer = listener.accept()[0]
                    line = peer.recv(1 << 16).decode().partition(" HTTP")[0]
                    (asked if asked is not None else []).append(line)
                    for byte in one:  # as slowly as it can come
                        peer.send(bytes([byte]))
                    peer.close()

            threading.Thread(target=answer, daemon=True).start()
            return DockerClient("docker", ("docker",), Api(str(tmp_path / "s")))

        yield start


def test_containers_are_listed_by_label(serve: Serve) -> None:
    asked: list[str] = []
    listed = [{"Id": "a", "Status": "Up 3 seconds"}, {"Id": "b", "Status": "Exited (0)"}]
    docker = serve(OK + json.dumps(listed).encode(), asked=asked)
    assert docker.labelled("k=v") == {"a": True, "b": False}
    assert asked == ["GET /containers/json?all=1&filters=%7B%22label%22%3A+%5B%22k%3Dv%22%5D%7D"]


def test_what_there_is_is_listed(serve: Serve) -> None:
    labelled = [{"Id": one, "Labels": {"k": value}} for one, value in (("a", "v"), ("b", ""))]
    answers = (labelled, labelled, [{"Name": "n"}], {"Volumes": [{"Name": "v"}]}, {"Volumes": None})
    docker = serve(*(OK + json.dumps(answer).encode() for answer in answers))
    assert (docker.all_ids(), docker.values_of("k")) == (["a", "b"], {"a": "v"})
    assert docker.names("network", "n") == ["n"]
    assert [docker.names("volume", "v") for _ in range(2)] == [["v"], []]


def test_what_is_not_there_is_none(serve: Serve) -> None:
    missing = b'HTTP/1.0 404 Not Found\r\n\r\n{"message": "No such container: x/y"}'
    asked: list[str] = []
    docker = serve(missing, missing, asked=asked)
    assert docker.find("x/y") is None
    docker.remove_all(["x/y"])
    assert asked == ["GET /containers/x%2Fy/json?", "DELETE /containers/x%2Fy?force=1&v=1"]


def test_what_was_printed_is_told_apart(serve: Serve) -> None:
    pieces = (1, b"one\r\n"), (2, b"error \xff\n"), (1, b"two\n")
    body = b"".join(bytes([s, 0, 0, 0]) + len(t).to_bytes(4, "big") + t for s, t in pieces)
    assert serve(FRAMES + body).logs("x") == ("one\ntwo\n", "error \\xff\n")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b'HTTP/1.0 500 No\r\n\r\n{"message": "it is full"}', "docker: it is full"),
        (b"HTTP/1.0 500 No\r\n\r\n<html>", r"docker: it failed \(500\)"),
        (b"HTTP/1.0 200 OK\r\nDate", "ended in the middle"),
        (b"", "ended in the middle"),
        (OK + b'{"Id', "ended in the middle"),
    ],
)
def test_an_answer_that_is_none_says_why(serve: Serve, answer: bytes, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        serve(answer).find("x")


def test_who_is_not_there_does_not_answer(tmp_path: Path) -> None:
    docker = DockerClient("docker", ("docker",), Api(str(tmp_path / "none")))
    assert not docker.answers
    with pytest.raises(EngineError, match="cannot be reached: No such file"):
        docker.labelled("a")


def test_who_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with pytest.raises(TooLate):
            Api(str(tmp_path / "s")).do("GET", "_ping", seconds=0.01)


def test_events_begin_where_the_headers_end(serve: Serve) -> None:
    stream = serve(OK + b'{"a": 1}\n{"b": 2}\n').events(1.0, "k=v")
    with stream, stream.makefile("rb") as lines:
        assert list(lines) == [b'{"a": 1}\n', b'{"b": 2}\n']


def test_a_stop_is_no_error_where_it_has_ended(serve: Serve) -> None:
    asked: list[str] = []
    docker = serve(b"HTTP/1.0 304 Not Modified\r\n\r\n", asked=asked)
    docker.stop(["x"], 2.0)
    assert asked == ["POST /containers/x/stop?t=2"]


def test_it_is_an_error_that_is_caught() -> None:
    assert issubclass(TooLate, NoAnswer)
