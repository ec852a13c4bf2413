"""The health check of what has none: what listens, what runs, and whether it answers."""

from __future__ import annotations

import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from capadvise.kernel import procfs, serving
from capadvise.model import workload
from capadvise.observe.supervise import health_check, implicit_check
from tests.support.wait import until


@contextmanager
def _server(first: bytes, answer: bytes) -> Iterator[int]:
    """A server that says something first, or answers: whoever comes, as others on this machine may
    look for what had this port before."""

    def talk(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(first)
            if (answer or not first) and connection.recv(512):
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):  # it is over
                while True:
                    threading.Thread(target=talk, args=listener.accept()[:1], daemon=True).start()

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # or it goes on to be listened at
            server.join()  # else it can accept at the next listener, which gets the same descriptor


@pytest.mark.parametrize(
    ("protocol", "first", "answer", "spoken"),
    [
        ("redis", b"", b"+PONG\r\n", True),
        ("redis", b"", b"-NOAUTH Authentication required.\r\n", True),
        ("redis", b"", b"HTTP/1.1 400 Bad Request\r\n", False),
        ("postgres", b"", b"N", True),
        ("postgres", b"", b"HTTP/1.0 400", False),
        ("banner", b"220 mail ESMTP\r\n", b"", True),
        ("banner", b"SSH-2.0-OpenSSH_9.9\r\n", b"", True),
        ("ssh", b"SSH-2.0-OpenSSH_9.9\r\n", b"\0\0\4\x2c\x0a\x14", True),
        ("ssh", b"SSH-2.0-dropbear\r\n\0\0\4\x2c\x0a\x14", b"", True),
        ("ssh", b"SSH-2.0-OpenSSH_9.9\r\n", b"", False),
        ("smtp", b"220 mail ESMTP\r\n", b"250-mail\r\n250 SMTPUTF8\r\n", True),
        ("smtp", b"220 (vsFTPd 3.0.5)\r\n", b"530 Please login with USER and PASS.\r\n", False),
        ("smb", b"", b"\0\0\0\xca\xfeSMB\x40\0", True),
        ("smb", b"", b"\0\0\0\x23\xffSMBr", False),
        ("smb", b"", implicit_check.PROTOCOLS["smb"][0][0], False),  # an echo
        ("mysql", b"\x4a\0\0\0\x0a11.4.2\0", b"", True),
        ("memcached", b"", b"VERSION 1.6.18\r\n", True),
        ("memcached", b"", b"ERROR\r\n", False),
        ("imap", b"* OK Dovecot ready.\r\n", b"a OK NOOP completed.\r\n", True),
        ("imap", b"* OK [ALERT] no room\r\n", b"a NO\r\n", False),
        ("fastcgi", b"", b"\x01\x0a\0\0\0\x12\x06\0\x0f\x01FCGI_MPXS_CONNS0", True),
        ("fastcgi", b"", implicit_check.PROTOCOLS["fastcgi"][0][0], False),  # an echo
        ("amqp", b"", b"\x01\0\0\0\0\x01\xed\0\x0a\0\x0a\0\x09", True),
        ("amqp", b"", b"AMQP\0\1\0\0", False),  # of another version
        ("mqtt", b"", b"\x20\x02\0\5", True),  # may not log in, and is served
        ("ldap", b"", b"0\x0c\x02\x01\x01\x61\x07\x0a\x01\0\x04\0\x04\0", True),
        ("http2", b"", b"\0\0\6\4\0\0\0\0\0\0\5\0\0\x40\0", True),
        ("http2", b"", b"HTTP/1.1 400 Bad Request\r\n", False),
    ],
)
def test_protocol(
    protocol: str, first: bytes, answer: bytes, spoken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(implicit_check, "_ANSWER_SECONDS", 60.0)  # the server is a thread of ours
    with _server(first, answer) as port:
        assert implicit_check.answers(port, protocol) is spoken


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.0 404 Not Found\r\n", "404"),
        (
            b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type: Text/HTML; charset=x\r\n\r\n",
            "200:text/html",
        ),
        (b"HTTP/1.1 200\r\nContent-Type: a'b;\r\n\r\n", "200"),
        (b"HTTP/1.1 200 OK\r\n\r\nContent-Type: in/body\r\n", "200"),
        (b"HTTP/1.1 \xb2\r\n\r\n", None),
        (b"HTTP/1.1\r\n\r\n", None),
        (b"-ERR\r\n", None),
    ],
)
def test_the_answer_of_a_web_server(answer: bytes, told: str | None) -> None:
    with _server(b"", answer) as port:
        assert implicit_check.web_answer(port, "http") == told


@pytest.mark.parametrize(
    ("known", "answer", "as_good"),
    [
        ("200:text/html", "200:text/html", True),
        ("200:text/html", "204", False),  # no page
        ("200:text/html", "302", False),
        ("200:text/html", "200:text/plain", False),
        ("200", "200:text/html", True),
        ("301", "200:text/html", True),
        ("302:text/html", "303", True),
        ("401", "404", True),
        ("404", "200:text/html", True),
        ("404", "502:text/html", False),
        ("200:text/html", "500:text/html", False),
        ("503", "502", True),  # it did not serve in the recording either
    ],
)
def test_an_answer_as_good_as_the_known_one(known: str, answer: str, as_good: bool) -> None:
    assert implicit_check.is_as_good(answer, known) is as_good


def test_a_page_that_fails_is_a_failed_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server goes on listening, and says 500, where what it serves cannot be made."""
    monkeypatch.setattr(implicit_check, "_enter", lambda _: None)
    monkeypatch.setattr(implicit_check, "_GOES_ON", 0.0)
    monkeypatch.setattr(serving, "CHOSEN", 65536)
    with _server(b"", b"HTTP/1.1 500 Error\r\n\r\n") as port:

        def check(known: str) -> str | None:
            return implicit_check.check(os.getpid(), [f"tcp:{port}/{known}"])

        assert check("http:200:text/html") == f"tcp:{port} answers 500 instead of 200:text/html"
        assert check("http:500") is None
        assert check("http") is None  # of a former report
        assert check("https:200") == f"tcp:{port} does not answer as https"


def test_programs_have_users() -> None:
    """A server whose workers stay root, or die, has a process of the same name."""
    with subprocess.Popen(["sleep", "60"], user=65534) as process:
        assert implicit_check.programs([process.pid]) == {"sleep@65534"}
        lacking = [
            implicit_check.missing(process.pid, [process.pid], [one])
            for one in ("sleep@65534", "sleep@0", "sleep")
        ]
        process.kill()
    assert lacking == [[], ["sleep@0"], []]


def test_users_are_those_of_their_own_namespace() -> None:
    words = ["unshare", "--user", "--map-root-user", "sleep", "60"]
    with subprocess.Popen(words, user=65534) as process:
        until(lambda: procfs.comm(process.pid) == "sleep")
        there = implicit_check.programs([process.pid])
        process.kill()
    assert there == {"sleep@0"}


def test_who_says_nothing_speaks_no_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implicit_check, "_ANSWER_SECONDS", 0.3)
    with _server(b"", b"") as port:
        assert not implicit_check.answers(port, "banner")


def test_who_does_not_listen_does_not_answer() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert not implicit_check.answers(unused.getsockname()[1], "http")


def test_ports_are_those_of_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the host's network, others listen, too."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setattr(serving, "CHOSEN", port + 1)
        assert f"tcp:{port}" in serving.listening(os.getpid(), [os.getpid()])
        assert serving.listening(os.getpid(), [os.getppid()]).isdisjoint([f"tcp:{port}"])
        monkeypatch.setattr(serving, "CHOSEN", port)  # chosen by the kernel
        assert f"tcp:{port}" not in serving.listening(os.getpid(), [os.getpid()])


def test_what_is_missing_is_said() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        wanted = ["sleep", "nginx", "tcp:7/http"]
        why = implicit_check.check(process.pid, wanted, starts=0)
        process.kill()
    assert why == "missing: nginx, tcp:7/http"


def test_what_is_still_starting_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without beginning anew each time, which takes the processor that it would start with."""
    monkeypatch.setattr(implicit_check, "_GOES_ON", 0.0)
    script = ["sh", "-c", "read line; exec tail -f /dev/null"]
    with subprocess.Popen(script, stdin=subprocess.PIPE, start_new_session=True) as process:
        assert implicit_check.check(process.pid, ["tail"], starts=0) == "missing: tail"

        def goes_on(_: float) -> None:
            assert process.stdin
            with suppress(ValueError):  # it was told before
                process.stdin.close()
            until(lambda: procfs.comm(process.pid) == "tail")

        monkeypatch.setattr(
            implicit_check, "time", SimpleNamespace(sleep=goes_on, monotonic=time.monotonic)
        )
        assert implicit_check.check(process.pid, ["tail"], starts=60) is None
        os.killpg(process.pid, signal.SIGKILL)


def test_nobody_is_looked_at_before_there_are_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """To read all of /proc again and again takes the processor from what starts. A name with a
    colon is no port."""
    counts = dict.fromkeys(("tcp", "tcp6", "udp", "udp6"), 0)
    monkeypatch.setattr(implicit_check, "sockets_in_use", lambda _: counts)
    looks, waited = list[int](), list[float]()

    def look(pid: int) -> list[int]:
        looks.append(pid)
        return []

    def opens(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            counts["tcp6"] = 1

    monkeypatch.setattr(implicit_check, "seen_below", look)
    monkeypatch.setattr(implicit_check, "descendants", look)
    clock = SimpleNamespace(sleep=opens, monotonic=lambda: float(len(waited)))
    monkeypatch.setattr(implicit_check, "time", clock)
    why = implicit_check.check(os.getpid(), ["tcp:7/http", "worker:1"], starts=4)
    assert why == "missing: tcp:7/http, worker:1"
    assert waited == [0.05] * 3 + [0.1] * 2
    assert len(looks) == 3


def test_sockets_are_counted() -> None:
    """Tables of a network without any are not read."""
    with closing(socket.create_server(("127.0.0.1", 0))):
        assert serving.sockets_in_use(os.getpid())["tcp"] > 0
    assert set(serving.sockets_in_use(2**22 + 1).values()) == {0}  # nobody


@pytest.mark.parametrize("folder", ["plain", "a folder", "it's [a] *\t$one"])
def test_the_check_runs_in_any_folder(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recorded checks name the variable without quotes: a shell splits it at blanks."""
    own = Path(implicit_check.__file__).parents[2]
    (tmp_path / folder).mkdir()
    python, package = tmp_path / folder / "python", tmp_path / folder / own.name
    python.symlink_to(sys.executable)
    package.symlink_to(own)
    file = package / Path(implicit_check.__file__).relative_to(own)
    monkeypatch.setattr(health_check, "IMPLICIT", (str(python), "-I", "-S", str(file)))
    environment = {**os.environ, **health_check._implicit_check(again=False, limit=30)}
    done = subprocess.run(
        ["sh", "-c", "$CAPADVISE_CHECK tcp:80 'a program'"],
        env={**environment, "PID": ""},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "it has not started\n", "")


def test_a_later_try_waits_longer_but_not_until_it_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[object] = []
    monkeypatch.setattr(implicit_check, "check", lambda *words: waits.append(words))
    monkeypatch.setenv("PID", "1")
    for again, limit in ((False, 30), (True, 30), (True, 10), (False, 2)):
        command = " ".join(health_check._implicit_check(again=again, limit=limit).values())
        starts = next(word for word in command.split() if word.startswith("--starts="))
        assert implicit_check.main([starts, "cron"]) == 0
    assert implicit_check.main(["cron"]) == 0
    assert waits == [*((1, ["cron"], seconds) for seconds in (2, 10, 7, 1)), (1, ["cron"])]


def test_a_program_can_be_called_like_the_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PID", str(os.getpid()))
    assert implicit_check.main(["--starts=0", "--starts=9:1"]) == 1
    assert capsys.readouterr().out == "missing: --starts=9:1\n"


def test_what_has_ended_is_not_waited_for() -> None:
    with subprocess.Popen(["true"]) as process:
        until(lambda: procfs.state(process.pid) == "Z")
        assert implicit_check.check(process.pid, ["sleep"], starts=1e9) == "missing: sleep"


def test_what_is_started_anew_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash loop looks well at every single moment."""
    loop = "while :; do sleep 60; done"
    with subprocess.Popen(["sh", "-c", loop], start_new_session=True) as process:
        try:
            words = ["pgrep", "-x", "-P", str(process.pid), "sleep"]  # no longer the forked shell
            while not (listed := subprocess.run(words, capture_output=True).stdout.split()):
                pass
            first = int(listed[0])

            def crashes(_: float) -> None:
                os.kill(first, signal.SIGKILL)
                until(lambda: procfs.state(first) == "")  # the shell has seen it

            monkeypatch.setattr(
                implicit_check, "time", SimpleNamespace(sleep=crashes, monotonic=time.monotonic)
            )
            why = implicit_check.check(process.pid, ["sleep"])
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    assert why == "ended or restarted: sleep"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            "$CAPADVISE_CHECK tcp:6379/redis redis-server",
            "listens on tcp 6379 and answers redis; runs redis-server",
        ),
        (
            "$CAPADVISE_CHECK tcp:80/http udp:53 a b",
            "listens on tcp 80 and answers http, udp 53; runs a, b",
        ),
        ("$CAPADVISE_CHECK cron", "runs cron"),
        (
            "$CAPADVISE_CHECK tcp:80/http:200:text/html nginx@0 nginx@33 cron@0 a@b",
            "listens on tcp 80 and answers http 200 text/html; "
            "runs nginx (user 0 and 33), cron (user 0), a (user b)",
        ),
        ("curl -fs localhost", None),
        (None, None),
    ],
)
def test_in_words(script: str | None, words: str | None) -> None:
    assert workload.implicit_check(script) == words


def test_who_handles_a_signal() -> None:
    assert procfs.handles(os.getpid(), 2)  # Python raises KeyboardInterrupt
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            assert not procfs.handles(process.pid, 15)
            assert not procfs.is_first(process.pid)
        finally:
            process.kill()
    assert procfs.handles(process.pid, 15)  # gone: nobody knows


@pytest.mark.parametrize("wait", ["signal.sigwait([15])", "sys.stdin.read()"])
def test_who_waits_for_a_signal_handles_it(wait: str) -> None:
    """As tini does, which is the first process of a container with ``--init``."""
    script = f"import signal, sys; signal.pthread_sigmask(0, [15]); print(flush=True); {wait}"
    words = [sys.executable, "-c", script]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            process.stdout.readline()
            until(lambda: procfs.handles(process.pid, 15) and procfs.state(process.pid) == "S")
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("greeting", "first", "answer", "spoken"),
    [
        ((0.1, 0.1), b"", b"HTTP/1.0 404 Not Found\r\n", "http:404"),
        ((60, 0.1), b"220 mail\r\n", b"250-mail\r\n250 OK\r\n", "smtp"),
        ((0.1, 60), b"220 mail\r\n", b"250-mail\r\n250 OK\r\n", "smtp"),  # looks up who asks
        ((0.1, 0.1), b"", b"", None),
    ],
)
def test_what_is_spoken_at_a_port(
    greeting: tuple[float, float],
    first: bytes,
    answer: bytes,
    spoken: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, seconds in zip(("_GREETING", "_LATE_GREETING"), greeting, strict=True):
        monkeypatch.setattr(implicit_check, name, seconds)
    connected: list[object] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                if greeting == (0.1, 60) and self.client_address == connected[0]:
                    assert self.request.recv(512) == b""  # who listened has lost patience
                    return
                self.request.sendall(first)
                if self.request.recv(512):
                    self.request.sendall(answer)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def verify_request(self, request: object, client_address: object) -> bool:
            connected.append(client_address)
            return True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        port = server.server_address[1]
        said = implicit_check._with_protocol(f"tcp:{port}")
        server.shutdown()
    assert said == (f"tcp:{port}/{spoken}" if spoken else f"tcp:{port}")
