"""kill -9 of any one of our processes while a unit is recorded or proven."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

from capadvise.kernel import procfs
from tests.faults.aftermath import nothing_is_left, ours, sound
from tests.faults.kills import strike
from tests.support.guest import Guest
from tests.support.processes import Marked
from tests.support.runs import CAPADVISE
from tests.support.wait import until

UNIT = """\
[Service]
ExecStart=/bin/sh -c 'chown nobody /run/bin; exec sleep {word}'
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE
"""
PROPERTIES = "ActiveState,CapabilityBoundingSet,AmbientCapabilities,DropInPaths,NRestarts"
KINDS = {"unit": ((), 2.0), "unit, prove": (("--prove",), 6.0)}
"""Options of ``capadvise run``, and seconds in which most of it happens."""


def kill_once(guest: Guest, name: str, number: int, folder: Path) -> None:
    """Kill one process at one moment. Raises AssertionError where the unit is not as it was, or
    something is left."""
    dice, marked = random.Random(f"{name} {number}"), Marked()
    unit, report = f"killed-{marked.word}", guest.root / "run/killed.json"
    before = dice.choice(["active", "inactive"])
    told = f"{name}, round {number}, {before} before"
    report.unlink(missing_ok=True)
    guest.unit(f"{unit}.service", UNIT.format(word=marked.word))
    try:
        if before == "active":
            guest.systemctl("start", unit)
        as_it_was = guest.systemctl("show", "-p", PROPERTIES, unit)
        process = _started(guest, name, unit, folder)
        time.sleep(dice.uniform(0, KINDS[name][1]))
        found = ours(process.pid)
        victim = strike(process.pid, dice)
        told += f": killed the {victim}"
        until(partial(_ends, process), 120)
        until(lambda: not any(map(_lives, found)), shows=lambda: found)
        until(lambda: guest.traces() == [], shows=guest.traces)
        assert guest.systemctl("show", "-p", PROPERTIES, unit) == as_it_was
        guest.systemctl("stop", unit)
        nothing_is_left(marked, set(found))
        sound(report)
    except BaseException as error:
        error.add_note(f"{told}\n{(folder / 'log').read_text()[-2000:]}")
        raise
    finally:
        guest.systemctl("stop", unit)
        (guest.root / f"etc/systemd/system/{unit}.service").unlink()
        marked.end()


def _ends(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended; it is asked to, until it does. The first time can end a recording
    alone, which is proven then."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(3)
    return process.poll() is not None


def _started(guest: Guest, name: str, unit: str, folder: Path) -> subprocess.Popen[bytes]:
    words = ("--no-tui", "-q", *KINDS[name][0], "-o", "/run/killed.json")
    with (folder / "log").open("w") as out:
        return subprocess.Popen(
            guest.words(CAPADVISE, "run", *words, "--", "systemctl", "restart", unit),
            env=guest.environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )


def _lives(pid: int) -> bool:
    return procfs.state(pid) not in ("", "Z")
