"""What is recorded of a unit, and that the unit is as it was afterwards."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import Any

import pytest

from tests.support.guest import Guest
from tests.support.required import tool
from tests.support.wait import until

SERVER = """\
[Service]
User=nobody
AmbientCapabilities=CAP_NET_BIND_SERVICE
ExecStart=/usr/bin/python3 -m http.server --bind 127.0.0.1 81
"""
ONESHOT = """\
[Service]
Type=oneshot
ExecStartPre=+/bin/sh -c 'mknod /run/node c 1 3; rm /run/node'
ExecStartPre=-/usr/bin/false
ExecStart=/bin/sh -c 'rm -f /run/given; touch /run/given; chown nobody /run/given; exit {status}'
ExecStopPost=/bin/sh -c 'hostname >/dev/null'
"""
REMAINS = """\
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/true
ExecStop=/usr/bin/chown nobody /run/given
[Install]
"""
SOCKET = "[Socket]\nListenStream=127.0.0.1:82\n"
ACTIVATED = """\
[Service]
User=nobody
ExecStart=/usr/bin/python3 -c 'import socket; s = socket.socket(fileno=3); \
c = s.accept()[0]; c.sendall(b"hello"); c.close(); s.accept()'
"""
TEMPLATE = """\
[Service]
Type=oneshot
ExecStart=/usr/bin/chown %i /run/given
"""
CONFINED = """\
[Service]
ExecStart=/usr/bin/sleep 600
NoNewPrivileges=yes
SystemCallFilter=~@clock
ProtectClock=yes
CapabilityBoundingSet=CAP_KILL
"""


CALLED = """\
[Service]
ExecStart=/usr/bin/python3 -c 'import os, socket\\n\
s = socket.socket(fileno=3)\\nwhile True:\\n c, _ = s.accept()\\n\
 os.chown("/run", 0, 1); os.chown("/run", 0, 0)\\n c.send(b"hello"); c.close()'
"""
GIVES_UP_ALL = """\
[Service]
User=nobody
ExecStart=setpriv --bounding-set=-all --ambient-caps=-all --inh-caps=-all sleep 600
"""


def recorded(guest: Guest, *words: str) -> tuple[dict[str, Any], subprocess.CompletedProcess[str]]:
    """A report, and how capadvise ended."""
    report = guest.root / "run/report.json"
    report.unlink(missing_ok=True)
    done = guest.capadvise("run", "--no-tui", "-o", "/run/report.json", *words)
    assert report.exists(), done.stderr
    return json.loads(report.read_text()), done


def a_file_of_roots(guest: Guest) -> None:
    file = guest.root / "run/given"
    file.unlink(missing_ok=True)
    file.touch()


def needs(report: dict[str, Any]) -> set[str]:
    return set(report["proposal"]["cap_add"])


def test_a_forking_unit_with_a_pid_file(guest: Guest) -> None:
    tool("nginx")
    report, done = recorded(
        guest, "--check", "curl -fso /dev/null localhost", "--", "systemctl", "start", "nginx"
    )
    assert needs(report) >= {"NET_BIND_SERVICE", "SETGID", "SETUID"}
    assert not needs(report) & {"SYS_ADMIN", "SETPCAP", "SYS_RESOURCE", "MKNOD", "KILL"}
    target = report["target"]
    assert (target["kind"], target["name"], target["user"]) == ("unit", "nginx", "0:0")
    assert report["workload"]["kind"] == "daemon"
    assert report["recordings"][0]["succeeded"] is True
    assert report["known"]["program"] == "nginx"
    assert "nginx.service ran for " in done.stderr
    assert "Next: capadvise prove /run/report.json" in done.stderr
    assert (done.returncode, guest.state("nginx")) == (0, "inactive")


def test_a_user_with_ambient_capabilities(guest: Guest) -> None:
    guest.unit("server.service", SERVER)
    check = "curl -fso /dev/null 127.0.0.1:81"
    report, _ = recorded(guest, "--check", check, "--", "systemctl", "restart", "server")
    assert needs(report) == {"NET_BIND_SERVICE"}
    assert report["target"]["user"].startswith("65534:")
    emitted = guest.capadvise("emit", "/run/report.json", "--format", "systemd").stdout
    assert "# /etc/systemd/system/server.service.d/capadvise.conf" in emitted
    assert "\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE\n" in emitted
    assert "\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n" in emitted


def test_a_socket_stands_for_the_service_that_it_starts(guest: Guest) -> None:
    """It must be up, and is afterwards; what the service does with a connection is seen."""
    guest.unit("called.socket", "[Socket]\nListenStream=127.0.0.1:86\n")
    guest.unit("called.service", CALLED)
    down = guest.capadvise("run", "--no-tui", "--", "systemctl", "start", "called.socket")
    assert down.returncode == 2
    assert "systemctl start called.socket, then the same again" in down.stderr
    guest.systemctl("start", "called.socket")
    words = ("--check", "curl -sm 2 --http0.9 127.0.0.1:86 | grep hello", "--", "systemctl")
    report, done = recorded(guest, *words, "start", "called.socket")
    assert "called.socket starts called.service, which is recorded" in done.stderr
    assert report["target"]["name"] == "called"
    assert needs(report) == {"CHOWN"}
    assert report["recordings"][0]["succeeded"] is True
    assert (guest.state("called.socket"), guest.state("called")) == ("active", "inactive")
    guest.systemctl("stop", "called.socket")


def test_a_connection_that_nobody_took_does_not_leave_it_running(guest: Guest) -> None:
    """The socket starts the service again as soon as it is stopped."""
    guest.unit("busy.socket", "[Socket]\nListenStream=127.0.0.1:87\n")
    guest.unit(
        "busy.service", CALLED.replace("c.close()", "c.close()\\n import time\\n time.sleep(600)")
    )
    guest.systemctl("start", "busy.socket")
    check = (
        "curl -sm 2 --http0.9 127.0.0.1:87 | grep hello && bash -c 'exec 3<>/dev/tcp/127.0.0.1/87'"
    )
    report, done = recorded(guest, "--check", check, "--", "systemctl", "start", "busy.socket")
    assert needs(report) == {"CHOWN"}
    assert (guest.state("busy.socket"), guest.state("busy")) == ("active", "inactive")
    assert report["recordings"][0]["exit_status"] != 128 + signal.SIGKILL, done.stderr
    guest.systemctl("stop", "busy.socket")


def test_a_timer_stands_for_the_service_that_it_starts(guest: Guest) -> None:
    """It is not started itself."""
    guest.unit("nightly.timer", "[Timer]\nOnCalendar=daily\n")
    guest.unit("nightly.service", ONESHOT.format(status=0))
    report, done = recorded(guest, "--", "systemctl", "start", "nightly.timer")
    assert "nightly.timer starts nightly.service, which is recorded" in done.stderr
    assert needs(report) == {"CHOWN"}
    assert (guest.state("nightly.timer"), guest.state("nightly")) == ("inactive", "inactive")


def test_what_gives_up_all_that_it_has_at_once(guest: Guest) -> None:
    """What its manager gave it counts, not what is left once we hear of its exec (knotd)."""
    guest.unit("gives-up-all.service", GIVES_UP_ALL)
    report, _ = recorded(guest, "--for", "3", "--", "systemctl", "restart", "gives-up-all")
    assert needs(report) == {"SETPCAP"}
    held = report["recordings"][0]["held"]
    assert "CAP_CHOWN" in held["bounding"]
    assert held["bounding"] == held["permitted"] == held["ambient"]


def test_a_oneshot_and_what_runs_with_a_plus(guest: Guest) -> None:
    """It needs what its own lines need; the line with ``+`` has everything whatever the set is."""
    guest.unit("once.service", ONESHOT.format(status=0))
    report, done = recorded(guest, "--", "systemctl", "start", "once")
    assert needs(report) == {"CHOWN"}
    assert "/bin/sh: executed with a + prefix" in done.stderr
    assert report["workload"]["kind"] == "oneshot"
    assert (done.returncode, guest.state("once")) == (0, "inactive")


def test_a_unit_that_fails(guest: Guest) -> None:
    """What was seen is told; systemctl's exit status is ours; the unit is not left failed."""
    guest.unit("fails.service", ONESHOT.format(status=3))
    report, done = recorded(guest, "--", "systemctl", "start", "fails")
    assert needs(report) == {"CHOWN"}
    recording = report["recordings"][0]
    assert (recording["exit_status"], recording["succeeded"]) == (3, False)
    assert (done.returncode, guest.state("fails")) == (1, "inactive")


def test_a_unit_that_had_failed_is_failed_again(guest: Guest) -> None:
    guest.unit("was-failed.service", "[Service]\nExecStart=/usr/bin/false\n")
    guest.systemctl("start", "was-failed")
    until(lambda: guest.state("was-failed") == "failed")
    recorded(guest, "--for", "3", "--", "systemctl", "start", "was-failed")
    assert guest.state("was-failed") == "failed"


def test_what_its_stop_command_needs(guest: Guest) -> None:
    a_file_of_roots(guest)
    guest.unit("remains.service", REMAINS)
    report, _ = recorded(guest, "--", "systemctl", "start", "remains")
    assert needs(report) == {"CHOWN"}
    (check,) = [one for one in report["recordings"][0]["checks"] if one["cap"] == "CAP_CHOWN"]
    assert check["phase"] == "stop-command"
    assert guest.state("remains") == "inactive"


def test_a_socket_that_its_manager_binds_is_no_need(guest: Guest) -> None:
    guest.unit("waits.socket", SOCKET)
    guest.unit("waits.service", ACTIVATED)
    guest.systemctl("start", "waits.socket")
    check = "curl -s --http0.9 127.0.0.1:82 | grep hello"
    report, _ = recorded(guest, "--check", check, "--", "systemctl", "start", "waits")
    assert needs(report) == set()
    assert guest.state("waits.socket") == "active"
    guest.systemctl("stop", "waits.socket")


def test_an_instance_of_a_template(guest: Guest) -> None:
    a_file_of_roots(guest)
    guest.unit("give@.service", TEMPLATE)
    report, _ = recorded(guest, "--", "systemctl", "start", "give@nobody")
    assert needs(report) == {"CHOWN"}
    assert report["target"]["name"] == "give@nobody"


def test_what_hides_checks_is_taken_away_and_comes_back(guest: Guest) -> None:
    """One that is up is restarted twice: for the recording, and as it is."""
    guest.unit("confined.service", CONFINED)
    guest.systemctl("start", "confined")
    before = guest.systemctl("show", "-p", "MainPID", "confined")
    report, done = recorded(guest, "--for", "3", "--", "systemctl", "restart", "confined")
    held = report["recordings"][0]["held"]["bounding"]
    assert "CAP_SYS_ADMIN" in held
    assert "CAP_SYS_TIME" not in held  # ProtectClock= is kept
    assert report["posture"]["no_new_privs"] is False
    assert "confined.service: restarted for the recording, and once more" in done.stderr
    assert guest.state("confined") == "active"
    said = guest.systemctl(
        "show", "-p", "MainPID,CapabilityBoundingSet,NoNewPrivileges", "confined"
    )
    assert before not in said
    assert "CapabilityBoundingSet=cap_kill\n" in said
    assert "NoNewPrivileges=yes" in said


@pytest.mark.parametrize(
    ("unit", "why"),
    [
        ("dbus", "it carries every program that talks over D-Bus"),
        ("systemd-journald", "it carries what every unit writes"),
        ("user@1000", "it carries all that a user runs"),
        ("no-such-unit", "there is no unit no-such-unit.service"),
        ("multi-user.target", "one service is recorded at a time"),
    ],
)
def test_what_is_not_restarted(unit: str, why: str, guest: Guest) -> None:
    done = guest.capadvise("run", "--no-tui", "--", "systemctl", "restart", unit)
    assert why in done.stderr
    assert done.returncode == 2


def test_what_is_up_is_not_started(guest: Guest) -> None:
    guest.unit("up.service", "[Service]\nExecStart=/usr/bin/sleep 600\n")
    guest.systemctl("start", "up")
    before = guest.systemctl("show", "-p", "MainPID", "up")
    done = guest.capadvise("run", "--no-tui", "--", "systemctl", "start", "up")
    assert "up.service is active already" in done.stderr
    assert guest.systemctl("show", "-p", "MainPID", "up") == before
