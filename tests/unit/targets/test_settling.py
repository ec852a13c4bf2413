"""When what has started does not change any more, and what of it lasts."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterable
from types import SimpleNamespace

import pytest

from capadvise.kernel import procfs
from capadvise.kernel.serving import RunningProgram
from capadvise.targets.containers import settling
from capadvise.targets.containers.settling import Stability
from tests.support.wait import until

HELD, WEB = RunningProgram(1, 10, "init"), RunningProgram(2, 12, "web")
SHELL = RunningProgram(1, 10, "sh")  # it becomes init by an exec


def _sleep(pid: int) -> RunningProgram:
    return RunningProgram(pid, pid, "sleep")


@pytest.mark.parametrize(
    ("looks", "changed", "lasting"),
    [
        ([{HELD}] * 5, 0, [1]),
        ([{SHELL}, {SHELL}, {HELD}, {HELD}], 2, [1]),
        ([{HELD}, {HELD, WEB}, {HELD, WEB}], 1, [1, 2]),
        ([{HELD}, {HELD, WEB}, {HELD}, {HELD}], 2, [1]),
        # another one of what runs already: a worker that is replaced
        ([{HELD, WEB}, {HELD, WEB, RunningProgram(3, 20, "web")}, {HELD, WEB}], 0, [1, 2]),
        # there at each look, and never the same
        ([{HELD, _sleep(20 + look)} for look in range(8)], 2, [1]),
        # the third that ends was there at the last change, and for some time
        ([{HELD, _sleep(20 + look // 2)} for look in range(12)], 4, [1]),
        # it comes and goes
        (
            [{HELD, WEB} | ({_sleep(20 + look)} if look % 2 else set()) for look in range(9)],
            4,
            [1, 2],
        ),
    ],
)
def test_what_lasts(looks: Iterable[set[RunningProgram]], changed: int, lasting: list[int]) -> None:
    stability = Stability()
    for now, running in enumerate(looks):
        stability.look(now, frozenset(), frozenset(running))
    assert (stability.changed, stability.lasting) == (changed, lasting)


def test_a_port_is_a_change() -> None:
    stability = Stability()
    for now, ports in enumerate([{"tcp:80"}, {"tcp:80"}, {"tcp:80", "tcp:443"}, {"tcp:443"}]):
        stability.look(now, frozenset(ports), frozenset({HELD}))
    assert (stability.began, stability.changed) == (0, 3)


def test_who_starts_slowly_is_waited_for() -> None:
    """On a loaded machine a start can be silent for long."""
    stability, running = Stability(), frozenset({HELD})
    for now in range(9):
        stability.look(now, frozenset(), running, busy=now < 6, computed=now)
    assert (stability.changed, stability.steady) == (0, 3)
    for now in range(9, 100):
        stability.look(now, frozenset(), running, busy=True, computed=now)
    assert stability.steady > 70  # it never ceases


def test_who_gets_no_processor_is_waited_for_longer() -> None:
    """A script before a server, on a machine that has ten times as much to do as it can."""
    stability, running = Stability(), frozenset({HELD})
    for now in range(99):
        stability.look(now, frozenset(), running, busy=True, computed=now / 10)
    assert stability.steady == pytest.approx(0)
    for now in range(99, 300):
        stability.look(now, frozenset(), running, busy=True, computed=9.8)
    assert stability.steady > 100  # it waits for what does not come


def test_who_is_busy() -> None:
    with subprocess.Popen(["sh", "-c", "kill -STOP $$; while :; do :; done"]) as process:
        until(lambda: procfs.state(process.pid) == "T")
        assert not procfs.is_busy(process.pid)
        process.send_signal(signal.SIGCONT)
        until(lambda: procfs.is_busy(process.pid))
        process.kill()


class Looks:
    """At a container whose first process or another one listens, on a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, listener: int, answer: str) -> None:
        self.now, self.asked = 0.0, list[float]()
        self.running = {HELD, WEB}
        monkeypatch.setattr(settling, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.ports = {"tcp:80"}
        self.meanwhile: Callable[[], object] = lambda: None
        """What happens while a check is proposed."""
        monkeypatch.setattr(
            *(settling.serving, "listening"),
            lambda _, pids: frozenset(self.ports if listener in pids else ()),
        )
        monkeypatch.setattr(settling.serving, "running", lambda _: frozenset(self.running))
        monkeypatch.setattr(settling.procfs, "is_busy", lambda _: False)
        monkeypatch.setattr(settling.procfs, "computed", lambda _: 0.0)
        monkeypatch.setattr(settling, "_proposed", lambda *_: self._propose(answer))
        self.settling = settling.Settling()

    def _propose(self, answer: str) -> str:
        self.asked.append(self.now)
        self.meanwhile()
        return f"$CAPADVISE_CHECK {answer} web"

    def until(self, seconds: float) -> bool:
        """Look now and then up to that time; whether it has settled."""
        while self.now < seconds:
            self.now += 0.25
            self.settling.look(1, lambda: [1, 2])
            if proposal := self.settling._proposal:
                proposal.wait()
        return self.settling.settled


@pytest.mark.parametrize(
    ("listener", "answer", "asked", "settled"),
    [
        (1, "tcp:80/http", [0.75], 1.5),  # it serves, and still does after a second
        (1, "tcp:80", [0.75, 1.5, 3.5], 3.5),  # nobody knows whether it is ready
        (2, "tcp:80/http", [2.75], 3.5),  # a script may stop it and go on
    ],
)
def test_how_long_it_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
    listener: int,
    answer: str,
    asked: list[float],
    settled: float,
) -> None:
    looks = Looks(monkeypatch, listener, answer)
    assert not looks.until(settled - 0.25)
    assert looks.settling.check is None
    assert looks.until(settled)
    assert looks.asked == asked
    assert looks.settling.check == f"$CAPADVISE_CHECK {answer} web"


def test_what_changes_after_it_was_asked_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks(monkeypatch, 1, "tcp:80")
    assert not looks.until(2)
    looks.running.add(RunningProgram(3, 30, "worker"))
    assert not looks.until(5)
    assert looks.until(6)


def test_what_is_started_for_who_connects_is_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """As dovecot's auth, which a trial has not until somebody connects."""
    looks = Looks(monkeypatch, 2, "tcp:143/banner")
    of: list[list[int]] = []
    monkeypatch.setattr(
        settling, "_proposed", lambda _, pids: of.append(pids) or looks._propose("")
    )
    looks.meanwhile = lambda: looks.running.add(RunningProgram(3, 30, "master"))
    assert not looks.until(3.0)
    looks.running -= {RunningProgram(3, 30, "master")}
    looks.running.add(RunningProgram(3, 30, "auth"))
    assert looks.until(3.5)
    assert of == [[1, 2]]


def test_who_was_there_and_executes_another_program_has_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a script that becomes the server."""
    looks = Looks(monkeypatch, 2, "tcp:80/http")
    looks.running = {SHELL, WEB}

    def goes_on() -> None:
        looks.running = {HELD, WEB}

    looks.meanwhile = goes_on
    assert not looks.until(5.0)
    assert looks.until(7.0)


def test_what_changes_while_it_is_asked_is_asked_about_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To propose a check can take seconds, in which nobody looks."""
    looks = Looks(monkeypatch, 1, "tcp:80/http")

    def opens_another() -> None:
        looks.now += 2
        looks.ports.add("tcp:443")

    looks.meanwhile = opens_another
    assert not looks.until(3.25)
    assert looks.asked == [0.75]
    looks.meanwhile = lambda: None
    assert not looks.until(4.0)
    assert looks.until(4.25)
    assert looks.asked == [0.75, 3.5]


@pytest.mark.parametrize(
    ("naps", "settled"),
    [
        ([8.0], 11),  # before its next step
        ([5.0, 5.0], 13),
        ([20.0, 20.0], 33),  # not longer than half a minute in all
        ([1e9], 3),  # until it is told to stop
        ([1.0] * 60, 5),  # in a loop
        ([], 3),
    ],
)
def test_a_start_that_sleeps_is_waited_for(naps: list[float], settled: float) -> None:
    """As ``sleep 8`` before the server, each a process of its own."""
    stability, now = Stability(), 0.0
    while now < 99:
        at = next((i for i in range(len(naps)) if now < sum(naps[: i + 1])), None)
        sleeping = {} if at is None else {_sleep(20 + at): naps[at]}
        stability.look(now, frozenset(), frozenset({HELD, *sleeping}), naps=sleeping)
        if stability.steady > settling.STEADY:
            break
        now += 0.25
    assert now == pytest.approx(settled, abs=0.6)


def test_one_that_sleeps_again_and_again_is_waited_for_once() -> None:
    stability, running = Stability(), frozenset({HELD})
    for now in range(20):
        stability.look(now, frozenset(), running, naps={HELD: 5.0})
    assert stability.steady == pytest.approx(19 - 5)


def test_a_port_that_is_published_is_waited_for() -> None:
    """As behind ``until nc -z db 5432; do sleep 1; done``."""
    stability, running = Stability(), frozenset({HELD})
    for now in range(60):
        stability.look(now, frozenset(), running, expects=True)
    assert stability.steady == pytest.approx(59 - 30)
    stability.look(60, frozenset({"tcp:80"}), running, expects=True)
    stability.look(61, frozenset({"tcp:80"}), running, expects=True)
    assert stability.steady == pytest.approx(1)
