"""Trials restart the unit with less, and leave it as it was; what comes out of them works."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from contextlib import suppress
from typing import Any

import pytest

from capadvise.kernel import procfs
from tests.support.guest import Guest
from tests.support.runs import CAPADVISE
from tests.support.wait import until

SERVER = """\
[Unit]
StartLimitIntervalSec=1h
StartLimitBurst=1
[Service]
User=nobody
AmbientCapabilities=CAP_NET_BIND_SERVICE CAP_SYS_TIME
ExecStart=/usr/bin/python3 -m http.server --bind 127.0.0.1 83
Restart=always
"""
CHECK = "curl -fso /dev/null 127.0.0.1:83"
ONESHOT = """\
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'rm -f /run/given; touch /run/given; chown nobody /run/given'
"""
GIVES_UP = """\
[Service]
ExecStart=/bin/sh -c '\
rm -f /run/given; touch /run/given; chown nobody /run/given || exit 7; exec sleep 600'
"""


CALLED = """\
[Service]
ExecStart=/usr/bin/python3 -c 'import os, socket\\n\
os.chown("/run", 0, 1); os.chown("/run", 0, 0)\\n\
s = socket.socket(fileno=3)\\nwhile True: c, _ = s.accept(); c.send(b"hello"); c.close()'
"""
HARD = (
    ONESHOT
    + """\
ExecStart=setarch --addr-no-randomize true
SystemCallFilter=@system-service
NoNewPrivileges=yes
ProtectClock=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectHostname=yes
MemoryDenyWriteExecute=yes
PrivateDevices=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
"""
)
"""What it has is not tried; LockPersonality= refuses what its second command calls."""


def proven(guest: Guest, *words: str) -> dict[str, Any]:
    """The report of ``run --prove``."""
    report = guest.root / "run/proven.json"
    report.unlink(missing_ok=True)
    done = guest.capadvise("run", "--no-tui", "--prove", "-o", "/run/proven.json", *words)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(report.read_text())
    assert found["proof"]["isolation"] == "unit"
    return found


def test_a_unit_that_is_up_and_may_not_start_often(guest: Guest) -> None:
    """Starts of trials do not count for StartLimitBurst=, and each leaves it up."""
    guest.unit("serves.service", SERVER)
    guest.systemctl("start", "serves")
    report = proven(guest, "--check", CHECK, "--", "systemctl", "restart", "serves")
    assert report["proposal"]["minimal"] == ["CAP_NET_BIND_SERVICE"]
    assert report["conclusion"]["companions"]["no_new_privs"] == "tried", report["proof"]["trials"]
    assert any("its own" in one or "itself" in one for one in report["proof"]["cautions"])
    assert guest.state("serves") == "active"
    done = guest.capadvise("emit", "/run/proven.json", "--drop-in")
    assert done.returncode == 0, done.stderr
    assert "+CapabilityBoundingSet=CAP_NET_BIND_SERVICE\n" in done.stdout
    assert "systemctl daemon-reload && systemctl restart serves.service" in done.stderr
    guest.systemctl("daemon-reload")
    guest.systemctl("reset-failed", "serves")
    guest.systemctl("restart", "serves")
    until(lambda: guest.call("sh", "-c", CHECK).returncode == 0)
    shown = guest.systemctl("show", "-p", "CapabilityBoundingSet,AmbientCapabilities", "serves")
    assert set(shown.splitlines()) == {
        "CapabilityBoundingSet=cap_net_bind_service",
        "AmbientCapabilities=cap_net_bind_service",
    }
    guest.systemctl("stop", "serves")


def test_a_unit_that_gains_by_a_set_id_program_gets_no_flag_against_it(guest: Guest) -> None:
    """A short program by a relative path: no recording can tell that it was set-id."""
    program = "cd /run/gains && exec setpriv --reuid 65534 --clear-groups ./s daemon f"
    guest.call("sh", "-c", "mkdir -p /run/gains; cp /bin/chown /run/gains/s")
    guest.call("sh", "-c", "chmod 4755 /run/gains/s; touch /run/gains/f")
    guest.unit("gains.service", f"[Service]\nType=oneshot\nExecStart=/bin/sh -c '{program}'\n")
    report = proven(guest, "--", "systemctl", "start", "gains")
    assert report["conclusion"]["companions"]["no_new_privs"] == "left-out"
    done = guest.capadvise("emit", "/run/proven.json", "--drop-in")
    assert "NoNewPrivileges" not in done.stdout, done.stdout
    guest.systemctl("daemon-reload")
    guest.systemctl("start", "gains")


def test_a_drop_in_that_another_one_takes_back_is_not_written(guest: Guest) -> None:
    """systemd-analyze says so, of the unit with all its drop-ins."""
    guest.unit("edited.service", ONESHOT)
    words = ("--no-tui", "-q", "-o", "/run/edited.json", "--", "systemctl", "start", "edited")
    guest.capadvise("run", *words)
    folder = guest.root / "etc/systemd/system/edited.service.d"
    folder.mkdir()
    edited = folder / "override.conf"
    edited.write_text("[Service]\nCapabilityBoundingSet=CAP_SYS_TIME\n")
    done = guest.capadvise("emit", "/run/edited.json", "--drop-in")
    assert done.returncode == 2, done.stdout
    assert "another drop-in counts for more: systemctl cat edited.service" in done.stderr
    assert list(folder.iterdir()) == [edited]
    edited.unlink()
    done = guest.capadvise("emit", "/run/edited.json", "--drop-in")
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == [folder / "capadvise.conf"]
    again = guest.capadvise("emit", "/run/edited.json", "--drop-in")
    assert (again.returncode, again.stdout) == (0, "")
    assert "nothing to change" in again.stderr
    (guest.root / "etc/systemd/system/edited.service").unlink()
    gone = guest.capadvise("emit", "/run/edited.json", "--drop-in")
    assert gone.returncode == 2
    assert "edited.service is no unit of this machine" in gone.stderr


def test_what_else_it_works_with(guest: Guest) -> None:
    """A oneshot is proven by its exit status. Options are tried together then, and each one that
    harms is found; what is emitted works."""
    guest.unit("hard.service", HARD)
    report = proven(guest, "--harden", "--", "systemctl", "start", "hard")
    assert report["proposal"]["minimal"] == ["CAP_CHOWN"]
    assert guest.state("hard") == "inactive"
    found = report["proof"]["hardening"]
    assert found["options"] == ["RestrictRealtime=yes"]
    assert [one["option"] for one in found["left_out"]] == ["LockPersonality=yes"]
    before, after = (float(found["exposure"][key].split()[0]) for key in ("before", "after"))
    assert after < before
    emitted = guest.capadvise("emit", "/run/proven.json", "--format", "systemd").stdout
    folder = guest.root / "etc/systemd/system/hard.service.d"
    folder.mkdir()
    (folder / "capadvise.conf").write_text(emitted)
    guest.systemctl("daemon-reload")
    assert guest.call("systemctl", "start", "hard").returncode == 0
    shown = guest.systemctl("show", "-p", "RestrictRealtime,LockPersonality", "hard")
    assert set(shown.splitlines()) == {"RestrictRealtime=yes", "LockPersonality=no"}


@pytest.mark.long
def test_a_socket_that_gives_up_in_a_trial_is_up_for_the_next(guest: Guest) -> None:
    """systemd gives it up when what it starts fails again and again, as it does without CHOWN."""
    guest.unit("called.socket", "[Socket]\nListenStream=127.0.0.1:85\n")
    guest.unit("called.service", CALLED)
    guest.systemctl("start", "called.socket")
    check = "curl -sm 2 --http0.9 127.0.0.1:85 | grep hello"
    report = proven(guest, "--check", check, "--", "systemctl", "start", "called")
    assert report["proposal"]["minimal"] == ["CAP_CHOWN"]
    assert (guest.state("called.socket"), guest.state("called")) == ("active", "inactive")
    guest.systemctl("stop", "called.socket")


@pytest.mark.long
def test_without_a_check_its_manager_says_whether_it_is_up(guest: Guest) -> None:
    guest.unit("gives-up.service", GIVES_UP)
    report = proven(guest, "--", "systemctl", "start", "gives-up")
    assert report["proposal"]["minimal"] == ["CAP_CHOWN"]
    assert report["workload"]["check"] == "systemctl is-active --quiet gives-up.service"
    assert guest.state("gives-up") == "inactive"


LATE = """\
[Service]
ExecStart=/bin/sh -c 'rm -f /run/late; touch /run/late; sleep 8; \\
chown nobody /run/late || exit 7; exec sleep 600'
"""


def test_what_a_unit_needs_late_is_in_the_proof(guest: Guest) -> None:
    """It was "proven to need nothing" after two seconds, and died with its drop-in."""
    guest.unit("slow.service", LATE)
    report = proven(guest, "--", "systemctl", "start", "slow")
    assert report["proposal"]["minimal"] == ["CAP_CHOWN"]
    assert report["conclusion"]["doubt"] == "its first 30 s, no health check"
    *_, last = report["proof"]["trials"]
    assert last["passed"]
    assert last["seconds"] > 30
    assert guest.state("slow") == "inactive"


def test_a_recording_that_was_too_short_is_contradicted_in_time(guest: Guest) -> None:
    guest.unit("slow.service", LATE)
    words = ("--no-tui", "-o", "/run/short.json", "--for", "3")
    guest.capadvise("run", *words, "--", "systemctl", "start", "slow")
    prove = ("prove", "--watch", "12", "-o", "/run/p.json", "/run/short.json")
    done = guest.capadvise(*prove, seconds=200)
    assert done.returncode == 1, done.stdout
    report = json.loads((guest.root / "run/p.json").read_text())
    assert report["conclusion"]["standing"] == "contradicted"
    done = guest.capadvise("emit", "/run/p.json", "--drop-in")
    assert done.returncode == 2
    assert "--partial writes it anyway" in done.stderr
    done = guest.capadvise("emit", "/run/p.json", "--drop-in", "--partial", "--dry-run")
    assert "contradicted" in done.stdout, done.stderr


REMAINS = """\
[Service]
Type={}
RemainAfterExit=yes
ExecStart=/bin/sh -c 'touch /run/remains; chown nobody /run/remains'
ExecStop=/bin/rm -f /run/remains
"""


@pytest.mark.parametrize("kind", ["oneshot", "exec"])
def test_a_unit_that_remains_after_its_exit_is_checked_while_it_does(
    kind: str, guest: Guest
) -> None:
    """Its stop undoes what is checked, as that of nftables and wg-quick@ does."""
    guest.unit("remains.service", REMAINS.format(kind))
    check = "test $(stat -c %U /run/remains) = nobody"
    report = proven(guest, "--check", check, "--", "systemctl", "start", "remains")
    assert report["proposal"]["minimal"] == ["CAP_CHOWN"]
    assert guest.state("remains") == "inactive"
    # systemd does not run the ExecStop of a start that failed: such a trial leaves the file.
    last = report["proof"]["trials"][-1]
    assert (guest.root / "run/remains").exists() != last["passed"]


def test_a_saved_report_is_proven(guest: Guest) -> None:
    """Of one that was ended by --for, before anything said that it was up."""
    guest.unit("saved.service", GIVES_UP)
    words = ("--no-tui", "-o", "/run/saved.json", "--for", "3")
    guest.capadvise("run", *words, "--", "systemctl", "start", "saved")
    done = guest.capadvise("prove", "--json", "-o", "/run/p.json", "/run/saved.json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["proposal"]["minimal"] == ["CAP_CHOWN"]
    assert report["workload"]["kind"] == "daemon"
    assert guest.state("saved") == "inactive"


def test_a_killed_proof_leaves_the_unit_as_it_was(guest: Guest) -> None:
    guest.unit("proven.service", GIVES_UP)
    guest.systemctl("start", "proven")
    as_it_was = guest.systemctl("show", "-p", "ActiveState,CapabilityBoundingSet", "proven")
    hold, report = guest.root / "run/hold", guest.root / "run/k.json"
    check = "while [ -e /run/hold ]; do sleep 0.1; done; systemctl is-active -q proven"
    words = ("--no-tui", "-q", "--prove", "-o", "/run/k.json", "--check", check)
    process = subprocess.Popen(
        guest.words(CAPADVISE, "run", *words, "--", "systemctl", "restart", "proven"),
        env=guest.environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def tried() -> bool:
        shown = guest.systemctl("show", "-p", "NoNewPrivileges,DropInPaths", "proven")
        pids = [pid for pid in procfs.processes() if "sandbox" in str(procfs.arguments(pid))]
        return "zzz-capadvise" in shown and bool(pids) and guest.state("proven") == "active"

    until(report.exists)
    hold.touch()  # from now on, a trial goes on until it is looked at
    until(tried)
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    hold.unlink()
    process.wait()
    until(lambda: guest.traces() == [])
    assert guest.systemctl("show", "-p", "ActiveState,CapabilityBoundingSet", "proven") == as_it_was


def test_a_unit_whose_program_has_file_capabilities_is_tried_without_them(guest: Guest) -> None:
    """The file is replaced in the trial's drop-in alone."""
    program = guest.root / "var/lib/fcap"
    shutil.copy("/bin/sleep", program)
    subprocess.run(["setcap", "cap_net_bind_service=ep", program], check=True)
    guest.unit("fcap.service", "[Service]\nType=oneshot\nExecStart=/var/lib/fcap 1\n")
    report = proven(guest, "--", "systemctl", "start", "fcap.service")
    conclusion = report["conclusion"]
    assert conclusion["recommended"] == ["CAP_NET_BIND_SERVICE"]
    (passed,) = conclusion["also_passed"]
    assert passed["with"]["without_file_capabilities"] == ["/var/lib/fcap"]
    assert passed["caps"] == []
    assert os.getxattr(program, "security.capability")


@pytest.mark.parametrize(
    "command", ["/var/lib/quick", "/var/lib/link", "/bin/sh -c '/var/lib/link; :'"]
)
def test_the_file_of_a_program_that_ends_at_once_is_found(guest: Guest, command: str) -> None:
    """The manager has the same root."""
    program = guest.root / "var/lib/quick"
    shutil.copy("/bin/true", program)
    subprocess.run(["setcap", "cap_net_bind_service=ep", program], check=True)
    subprocess.run(["ln", "-sf", "quick", guest.root / "var/lib/link"], check=True)
    guest.unit("quick.service", f"[Service]\nType=oneshot\nExecStart={command}\n")
    report = guest.root / "run/quick.json"
    words = (
        "run",
        "--no-tui",
        "-o",
        "/run/quick.json",
        "--",
        "systemctl",
        "start",
        "quick.service",
    )
    done = guest.capadvise(*words)
    assert done.returncode == 0, done.stderr
    found = json.loads(report.read_text())
    assert found["conclusion"]["recommended"] == ["CAP_NET_BIND_SERVICE"]
    (file,) = found["recordings"][0]["capable_files"]
    assert file["path"] == "/var/lib/quick"
