"""docker's API: what is asked, and every way in which an answer can be none."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from capadvise.model.errors import CannotObserve
from capadvise.targets.client.answer import NoAnswer, TooLate
from capadvise.targets.client.client import Client, EngineError
from capadvise.targets.client.docker_client import Api, DockerClient
from capadvise.targets.containers.registry import quick, require_docker

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


def test_it_is_asked_by_its_api_where_that_answers(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client("docker", ("docker",))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/s")
    serve(OK)
    assert isinstance(quick(client), DockerClient)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    assert quick(client) is client
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere")
    assert quick(client) is client


def test_what_is_not_there_is_none(serve: Serve) -> None:
    missing = b'HTTP/1.0 404 Not Found\r\n\r\n{"message": "No such container: x/y"}'
    asked: list[str] = []
    docker = serve(missing, missing, asked=asked)
    assert docker.find("x/y") is None
    docker.remove_all(["x/y"])
    assert asked == ["GET /containers/x%2Fy/json?", "DELETE /containers/x%2Fy?force=1&v=1"]


def test_images_and_volumes_are_asked_for(serve: Serve) -> None:
    """A client for each question takes 40 ms."""
    told = {"GraphDriver": {"Data": {"UpperDir": "/u"}}}, {"Mountpoint": "/v"}, {"Id": "sha256:z"}
    asked: list[str] = []
    docker = serve(*(OK + json.dumps(one).encode() for one in told), asked=asked)
    assert docker.storage_of("x/y:1") == {"UpperDir": "/u"}
    assert docker.place_of("data") == "/v"
    docker.pull("z")  # it is there
    assert asked == ["GET /images/x%2Fy%3A1/json?", "GET /volumes/data?", "GET /images/z/json?"]


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


@pytest.mark.parametrize(
    ("status", "is_done"),
    [("204 No Content", True), ("304 Not Modified", True), ("301 Moved", False), ("", False)],
)
def test_what_is_done_already_is_done(serve: Serve, status: str, is_done: bool) -> None:
    asked: list[str] = []
    docker = serve(f"HTTP/1.0 {status}\r\n\r\n".encode(), asked=asked)
    with nullcontext() if is_done else pytest.raises(NoAnswer):
        docker.api.do("POST", "containers", "x", "stop", seconds=5, t=2)
    assert asked == ["POST /containers/x/stop?t=2"]


def test_what_cannot_be_removed_keeps_no_other(serve: Serve) -> None:
    asked: list[str] = []
    full = b'HTTP/1.0 409 Conflict\r\n\r\n{"message": "already in progress"}'
    docker = serve(full, b"HTTP/1.0 204 No Content\r\n\r\n", asked=asked)
    with pytest.raises(EngineError, match="already in progress"):
        docker.remove_all(["a", "b"])
    assert [line.partition("?")[0] for line in asked] == [
        "DELETE /containers/a",
        "DELETE /containers/b",
    ]


@pytest.mark.parametrize("answer", [b"null", b"[null]", b"[{}]"])
def test_an_answer_of_another_form_is_none(serve: Serve, answer: bytes) -> None:
    docker = serve(*[OK + answer] * 3)
    for ask in (docker.labelled, docker.values_of, lambda word: docker.names("network", word)):
        with pytest.raises(EngineError, match="an unknown form"):
            ask("k")


def test_events_of_the_past_end(serve: Serve) -> None:
    docker = serve(OK + b'{"a": 1}\n{"b": 2}\n')
    assert docker.past_events(1.0, "k=v") == [b'{"a": 1}', b'{"b": 2}']


def test_an_engine_that_answers_by_its_client_alone_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    client = tmp_path / "docker"
    client.write_text("#!/bin/sh\necho 28.0\n")
    client.chmod(0o755)
    with pytest.raises(CannotObserve, match="does not answer, though its client does"):
        require_docker(Client("docker", (str(client),)))
