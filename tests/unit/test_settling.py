"""When what has started does not change any more, and what of it lasts."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterable

import pytest

from capadvise.linux.engines.record.settling import Stability
from capadvise.linux.kernel import procfs
from capadvise.linux.supervise.implicit_check import RunningProgram
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
        stability.look(now, frozenset(), running, busy=now < 6)
    assert (stability.changed, stability.steady) == (0, 3)
    for now in range(9, 100):
        stability.look(now, frozenset(), running, busy=True)
    assert stability.steady > 70  # it never ceases


def test_who_is_busy() -> None:
    with subprocess.Popen(["sh", "-c", "kill -STOP $$; while :; do :; done"]) as process:
        until(lambda: procfs.state(process.pid) == "T")
        assert not procfs.is_busy(process.pid)
        process.send_signal(signal.SIGCONT)
        until(lambda: procfs.is_busy(process.pid))
        process.kill()
