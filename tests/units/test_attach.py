"""A unit is watched as it runs."""

from __future__ import annotations

import json
import signal
import subprocess

from tests.support.guest import Guest
from tests.support.runs import CAPADVISE
from tests.support.wait import PATIENCE, until

UNIT = """\
[Service]
ExecStart=/usr/bin/python3 -c 'import os, time\\nwhile True: open("/run/runs", "w"); \
os.chown("/run/owned", 1, -1); os.chown("/run/owned", 0, -1); time.sleep(0.3)'
ExecReload=/usr/bin/mknod /run/made c 1 3
CapabilityBoundingSet=CAP_CHOWN
"""

AGAIN = """\
[Service]
ExecStart=/bin/sh -c 'touch /run/own; chown nobody /run/own; touch /run/started; exec sleep 600'
CapabilityBoundingSet=
"""


def test_what_runs_and_what_is_executed_later(guest: Guest) -> None:
    """Its reload command is refused what the unit does not have. Nothing is restarted."""
    (guest.root / "run/owned").touch()
    guest.unit("watched.service", UNIT)
    guest.systemctl("start", "watched")
    until((guest.root / "run/runs").exists)
    before = guest.systemctl("show", "-p", "MainPID", "watched")
    inspected = guest.capadvise("inspect", "watched.service").stdout
    assert "1: CHOWN" in inspected, inspected
    process = subprocess.Popen(
        guest.words(
            *(CAPADVISE, "attach", "--no-tui", "-o", "/run/attached.json"),
            "watched.service",
        ),
        env=guest.environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = process.stderr.readline()
    assert said.startswith("capadvise: watching watched.service, pid ")
    guest.systemctl("reload", "watched")
    owned = guest.root / "run/owned"
    before_that = owned.stat().st_ctime_ns
    until(lambda: owned.stat().st_ctime_ns > before_that)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    report = json.loads((guest.root / "run/attached.json").read_text())
    assert set(report["proposal"]["cap_add"]) == {"CHOWN", "MKNOD"}
    granted = {
        check["cap"]: check["granted"]
        for check in report["recordings"][0]["checks"]
        if check["cap"] in ("CAP_CHOWN", "CAP_MKNOD")
    }
    assert granted == {"CAP_CHOWN": True, "CAP_MKNOD": False}
    assert report["target"]["kind"] == "unit"
    assert guest.systemctl("show", "-p", "MainPID", "watched") == before


def test_a_restart_with_its_own_set(guest: Guest) -> None:
    """It is seen from its first instruction, with what is refused; nothing of it is changed."""
    guest.unit("again.service", AGAIN)
    guest.systemctl("start", "again")
    until((guest.root / "run/started").exists)
    (guest.root / "run/started").unlink()
    before = guest.systemctl("show", "-p", "MainPID", "again")
    words = ("attach", "--no-tui", "--restart", "-o", "/run/again.json")
    done = guest.capadvise(*words, "--check", "test -e /run/started", "again.service")
    assert "watching again.service, which is restarted now" in done.stderr
    assert done.returncode == 0
    report = json.loads((guest.root / "run/again.json").read_text())
    recording = report["recordings"][0]
    assert recording["restarted"] is True
    assert "its start was not observed" not in done.stderr
    (check,) = [one for one in recording["checks"] if one["cap"] == "CAP_CHOWN"]
    assert check["granted"] is False
    assert guest.state("again") == "active"
    assert guest.systemctl("show", "-p", "MainPID", "again") != before
    assert guest.systemctl("show", "-p", "DropInPaths", "--value", "again") == ""
    guest.systemctl("stop", "again")


def test_a_unit_of_which_nothing_runs(guest: Guest) -> None:
    guest.unit("still.service", "[Service]\nExecStart=/usr/bin/true\n")
    done = guest.capadvise("attach", "--no-tui", "still.service")
    assert "nothing of still.service runs: it is inactive" in done.stderr
    assert done.returncode == 2
