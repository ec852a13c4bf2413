"""kill -9 at any moment: the unit is as it was, and none of our files is left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from capadvise.kernel import procfs
from capadvise.kernel.process_tree import descendants
from tests.support.guest import Guest
from tests.support.runs import CAPADVISE
from tests.support.wait import until

UNIT = """\
[Service]
ExecStart=/bin/sh -c 'chown nobody /run/given; exec sleep 600'
ExecStop=/bin/sh -c 'while [ -e /run/hold ]; do sleep 0.1; done'
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE
"""
"""It stops as soon as it may, so that the moment is not missed."""
PROPERTIES = "ActiveState,CapabilityBoundingSet,DropInPaths"


def changed(guest: Guest) -> bool:
    """The drop-in is there; nothing was started by it yet."""
    return any("system" in path for path in guest.traces())


def running(guest: Guest) -> bool:
    """The unit runs under it."""
    return "cap_sys_admin" in guest.systemctl("show", "-p", "CapabilityBoundingSet", "killed") and (
        guest.state("killed") == "active"
    )


def stopping(guest: Guest) -> bool:
    return guest.state("killed") == "deactivating"


def _ours(process: subprocess.Popen[bytes]) -> list[int]:
    """capadvise, and its guardian after it."""
    pids = [process.pid, *descendants(process.pid)]
    return [pid for pid in pids if any("capadvise" in word for word in procfs.arguments(pid)[:4])]


@pytest.mark.parametrize("before", ["active", "inactive"])
@pytest.mark.parametrize(
    ("moment", "all_at_once"),
    [(changed, False), (running, False), (stopping, False), (running, True)],
    ids=["changed", "running", "stopping", "running, and the guardian"],
)
def test_the_unit_is_as_it_was(
    moment: Callable[[Guest], bool], before: str, all_at_once: bool, guest: Guest
) -> None:
    hold = guest.root / "run/hold"
    guest.unit("killed.service", UNIT)
    guest.systemctl("start" if before == "active" else "stop", "killed")
    as_it_was = guest.systemctl("show", "-p", PROPERTIES, "killed")
    length = "60"
    if moment is stopping:
        length = "1"
        hold.touch()
    words = ("run", "-q", "--no-tui", "-o", "/run/r.json", "--for", length)
    process = subprocess.Popen(
        guest.words(CAPADVISE, *words, "--", "systemctl", "restart", "killed"),
        env=guest.environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: moment(guest))
    for pid in _ours(process) if all_at_once else _ours(process)[:1]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    hold.unlink(missing_ok=True)
    process.wait()
    if all_at_once:  # the next one undoes it
        time.sleep(0.3)
        done = guest.capadvise("run", "--no-tui", "--", "systemctl", "start", "no-such-unit")
        assert "killed.service: made as it was again" in done.stderr
    until(lambda: guest.traces() == [])
    assert guest.systemctl("show", "-p", PROPERTIES, "killed") == as_it_was
