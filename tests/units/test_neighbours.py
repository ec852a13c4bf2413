"""Units that depend on the recorded one, and what its end would set off: nothing of it is down or
has happened afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from capadvise.kernel import procfs
from capadvise.kernel.process_tree import descendants
from tests.support.guest import Guest
from tests.support.runs import CAPADVISE
from tests.support.wait import until

_SLEEPS = "[Service]\nExecStart=/bin/sleep 900\n"
_BASE = """\
[Unit]
{}
[Service]
ExecStart=/bin/sh -c 'touch /run/base; chown nobody /run/base || exit 7; exec sleep 900'
"""
NET = {
    "base.service": _BASE.format(""),
    "requires.service": f"[Unit]\nRequires=base.service\nAfter=base.service\n{_SLEEPS}",
    "part.service": f"[Unit]\nPartOf=base.service\n{_SLEEPS}",
    "bound.service": f"[Unit]\nBindsTo=base.service\nAfter=base.service\n{_SLEEPS}",
    "further.service": "[Unit]\nRequires=bound.service asleep.service\nAfter=bound.service\n"
    "Requires=called.socket\n" + _SLEEPS,
    "called.socket": "[Unit]\nPartOf=base.service\n[Socket]\nListenStream=127.0.0.1:77\n",
    "called.service": _SLEEPS,
    "rings.timer": "[Unit]\nPartOf=base.service\n[Timer]\nOnActiveSec=1h\nUnit=called.service\n",
    "asleep.service": _SLEEPS,
    "was-down.service": f"[Unit]\nPartOf=base.service\n{_SLEEPS}",
    "all.target": "[Unit]\nRequires=base.service\nWants=stopped.service\n",
    "stopped.service": _SLEEPS,
}
"""A net of dependent units; ``stopped`` was stopped by hand, and nothing may start it."""
UP = (
    *("base.service", "requires.service", "part.service", "bound.service", "further.service"),
    *("called.socket", "rings.timer", "asleep.service", "all.target"),
)
DOWN = ("called.service", "was-down.service", "stopped.service")


@pytest.fixture
def net(guest: Guest) -> Iterator[Guest]:
    for name, text in NET.items():
        (guest.root / "etc/systemd/system" / name).write_text(text)
    guest.systemctl("daemon-reload")
    guest.systemctl("start", *UP)
    guest.systemctl("stop", *DOWN)
    _as_before(guest)
    yield guest
    guest.systemctl("stop", *NET)
    for name in NET:
        (guest.root / "etc/systemd/system" / name).unlink()
    guest.systemctl("daemon-reload")


def _states(guest: Guest) -> dict[str, str]:
    said = guest.systemctl("is-active", *UP, *DOWN).splitlines()
    return dict(zip((*UP, *DOWN), said, strict=True))


def _as_before(guest: Guest) -> None:
    assert _states(guest) == {**dict.fromkeys(UP, "active"), **dict.fromkeys(DOWN, "inactive")}


def test_what_stops_with_it_is_told_and_up_again_after_a_proof(net: Guest) -> None:
    words = ("run", "--no-tui", "--prove", "-o", "/run/net.json", "--", "systemctl", "restart")
    done = net.capadvise(*words, "base", seconds=300)
    assert done.returncode == 0, done.stderr
    _as_before(net)
    (told,) = [line for line in done.stderr.splitlines() if "these stop with base" in line]
    for name in ("requires", "part", "bound", "further", "called.socket", "all.target"):
        assert name in told
    assert "asleep" not in told
    assert "takes the unit's place for about" in done.stderr
    report = json.loads((net.root / "run/net.json").read_text())
    assert report["proposal"]["minimal"] == ["CAP_CHOWN"]
    assert any("took the unit's place" in one for one in report["proof"]["cautions"])


def test_a_limit_of_downtime_ends_the_trials(net: Guest) -> None:
    words = ("run", "--no-tui", "--prove", "--downtime", "1", "-o", "/run/net.json")
    done = net.capadvise(*words, "--", "systemctl", "restart", "base", seconds=300)
    assert done.returncode == 1, done.stderr
    report = json.loads((net.root / "run/net.json").read_text())
    assert any("--downtime allows 1 s" in one for one in report["proof"]["cautions"])
    assert len(report["proof"]["trials"]) == 1
    _as_before(net)


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize(
    "moment", [1.5, 4.0, *(pytest.param(each, marks=pytest.mark.long) for each in (0.5, 3.0, 7.0))]
)
def test_they_are_up_again_after_a_signal(net: Guest, kill: int, moment: float) -> None:
    words = ("run", "-q", "--no-tui", "--prove", "-o", "/run/net.json", "--", "systemctl")
    process = subprocess.Popen(
        net.words(CAPADVISE, *words, "restart", "base"),
        env=net.environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: net.traces() != [])
    time.sleep(moment)
    for pid in [process.pid, *descendants(process.pid)]:
        if kill != signal.SIGKILL or any("capadvise" in word for word in procfs.arguments(pid)[:4]):
            with suppress(ProcessLookupError):
                os.kill(pid, kill)
            break
    process.wait()
    until(lambda: net.traces() == [])
    until(lambda: set(_states(net).values()) == {"active", "inactive"})
    _as_before(net)


def test_one_that_cannot_be_started_again_is_told(net: Guest) -> None:
    broken = net.root / "etc/systemd/system/part.service"
    broken.write_text("[Unit]\nPartOf=base.service\n[Service]\nType=exec\nExecStart=/no/such\n")
    net.systemctl("daemon-reload")
    words = ("run", "--no-tui", "-o", "/run/net.json", "--for", "3", "--")
    done = net.capadvise(*words, "systemctl", "restart", "base")
    assert done.returncode == 3, done.stderr
    assert "part.service" in done.stderr
    assert "could not be made again as it was before" in done.stderr
    assert net.state("requires") == "active"


def test_a_unit_that_conflicts_with_it_is_up_again(guest: Guest) -> None:
    guest.unit("first.service", f"[Unit]\nConflicts=second.service\n{_SLEEPS}")
    guest.unit("second.service", _SLEEPS)
    guest.systemctl("start", "second")
    words = ("run", "--no-tui", "-o", "/run/first.json", "--for", "2", "--")
    done = guest.capadvise(*words, "systemctl", "start", "first")
    assert "these stop with first.service, and are started again: second.service" in done.stderr
    assert (guest.state("first"), guest.state("second")) == ("inactive", "active")
    guest.systemctl("stop", "second")


PAGER = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo paged >>/run/paged'\n"


@pytest.mark.parametrize(
    ("key", "whose"), [("OnFailure", "base.service"), ("OnSuccess", "part.service")]
)
def test_nobody_is_paged_without_consent(net: Guest, key: str, whose: str) -> None:
    net.unit("pager.service", PAGER)
    folder = net.root / f"etc/systemd/system/{whose}.d"
    folder.mkdir()
    (folder / "page.conf").write_text(f"[Unit]\n{key}=pager.service\n")
    net.systemctl("daemon-reload")
    report = net.root / "run/net.json"
    report.unlink(missing_ok=True)
    paged = net.root / "run/paged"
    paged.unlink(missing_ok=True)
    words = ("run", "--no-tui", "-o", "/run/net.json", "--for", "2")
    try:
        done = net.capadvise(*words, "--", "systemctl", "restart", "base")
        assert done.returncode == 2, done.stderr
        assert f"{key}=pager.service of {whose}" in done.stderr
        _as_before(net)
        assert not report.exists()
        assert not paged.exists()
        done = net.capadvise(*words, "--allow-actions", "--", "systemctl", "restart", "base")
        assert report.exists(), done.stderr
        done = net.capadvise("prove", "-o", "/run/p.json", "/run/net.json", seconds=300)
        assert f"{key}=pager.service of {whose}" in done.stderr
    finally:
        (folder / "page.conf").unlink()
        folder.rmdir()
        net.systemctl("daemon-reload")


def test_no_trial_has_an_action(guest: Guest) -> None:
    """An exit of the manager would end the guest."""
    actions = "FailureAction=exit-force\nSuccessAction=exit-force\nStartLimitAction=exit-force"
    guest.unit("acts.service", _BASE.format(actions).replace("/run/base", "/run/acts"))
    words = ("run", "--no-tui", "--prove", "-o", "/run/acts.json", "--", "systemctl", "start")
    done = guest.capadvise(*words, "acts", seconds=300)
    assert done.returncode == 0, done.stderr
    report = json.loads((guest.root / "run/acts.json").read_text())
    assert report["proposal"]["minimal"] == ["CAP_CHOWN"]
    assert guest.state("basic.target") == "active"


def test_a_transient_unit_is_refused_and_stays(guest: Guest) -> None:
    begun = guest.call("systemd-run", "--unit=gone", "sleep", "900")
    assert begun.returncode == 0, begun.stderr
    done = guest.capadvise("run", "--no-tui", "--", "systemctl", "restart", "gone")
    assert done.returncode == 2, done.stderr
    assert "gone.service is transient" in done.stderr
    assert guest.state("gone") == "active"
    guest.systemctl("stop", "gone")
