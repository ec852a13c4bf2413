"""Options of systemd: which are proposed, how those that harm are found, and where they go."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from capadvise.config.snippet_from import snippet_of
from capadvise.config.systemd.edit import patch
from capadvise.config.systemd.file import render
from capadvise.judgement.hardening import LINES, Hardening, largest, propose
from capadvise.judgement.report import Report
from capadvise.model.caps import parse_set
from capadvise.model.errors import BadInput
from capadvise.model.recording import Check, Namespace
from capadvise.report.dump import dump
from capadvise.report.load import load
from capadvise.report.words import proof_lines
from tests.support import schema
from tests.support.recordings import BIND, CATALOG, check, proven, recording, report

CHMOD = check("FOWNER", "inode_owner_or_capable", "fchmodat", args=(("mode", 0o4755),))
NICE = check("SYS_NICE", "user_check_sched_setscheduler", "sched_setscheduler")


def left_out(*checks: Check, caps: str = "", gains_nothing: bool | None = True) -> dict[str, str]:
    found = propose([recording(*checks)], parse_set(caps.split()), (), gains_nothing=gains_nothing)
    assert {*found.lines, *(line for line, _ in found.left_out)} == set(LINES)
    return dict(found.left_out)


def test_all_that_nothing_speaks_against() -> None:
    assert left_out(BIND, caps="NET_BIND_SERVICE") == {}


@pytest.mark.parametrize(
    ("found", "options"),
    [
        (left_out(caps="SYS_TIME"), {"ProtectClock=yes", "SystemCallFilter=~@clock:EPERM"}),
        (left_out(caps="MKNOD"), {"PrivateDevices=yes"}),
        (left_out(caps="SYS_CHROOT"), {"SystemCallFilter=~@mount:EPERM"}),
        (left_out(CHMOD), {"RestrictSUIDSGID=yes"}),
        (left_out(NICE, caps="SYS_NICE"), {"RestrictRealtime=yes"}),
        (left_out(NICE), set()),
        (
            left_out(replace(BIND, ns=Namespace.CHILD)),
            {"RestrictNamespaces=yes", "SystemCallFilter=~@mount:EPERM"},
        ),
        (left_out(gains_nothing=False), {"NoNewPrivileges=yes"}),
        (left_out(gains_nothing=None), {"NoNewPrivileges=yes"}),
    ],
)
def test_what_contradicts(found: dict[str, str], options: set[str]) -> None:
    """A capability of the set, or a call that was seen; one that is not needed does not."""
    assert set(found) == options


def test_what_it_has_is_left_as_it_is() -> None:
    found = propose([], frozenset(), ["SystemCallFilter", "ProtectClock"], gains_nothing=True)
    assert not [line for line in found.lines if line.startswith(("System", "ProtectClock"))]
    assert found.left_out == ()


@pytest.mark.parametrize("harmful", [(), ("3",), ("0", "15"), ("4", "5", "6"), tuple("0123456789")])
def test_each_that_harms_is_found(harmful: tuple[str, ...]) -> None:
    lines = tuple(map(str, range(16)))
    tried: list[tuple[str, ...]] = []

    def works(some: tuple[str, ...]) -> str | None:
        tried.append(some)
        return f"without {bad[0]}" if (bad := [one for one in some if one in harmful]) else None

    kept, left = largest(lines, works)
    assert kept == tuple(line for line in lines if line not in harmful)
    assert left == tuple((line, f"without {line}") for line in harmful)
    assert kept in tried  # all of them together
    assert len(tried) == len(set(tried))
    assert len(tried) <= 1 + 2 * 4 * len(harmful)


def hardened() -> Report:
    found = Hardening(
        report().proposal.recommended,
        ("ProtectClock=yes", "SystemCallFilter=~@swap:EPERM"),
        (("LockPersonality=yes", "exited with 1"),),
        6,
        ("9.6 UNSAFE", "2.1 OK"),
    )
    one = proven(report(), report().proposal.recommended)
    assert one.proven
    return replace(one, proven=replace(one.proven, hardening=found))


def test_it_is_kept_emitted_and_told(tmp_path: Path) -> None:
    one = hardened()
    raw = dump(one, CATALOG)
    schema.report().validate(raw)
    (tmp_path / "report.json").write_text(json.dumps(raw))
    again = load(tmp_path / "report.json", CATALOG)
    assert again.proven
    assert one.proven
    assert again.proven.hardening == one.proven.hardening
    said = " ".join(proof_lines(one.proven))
    assert "9.6 UNSAFE → 2.1 OK" in said
    assert "Without LockPersonality=yes: exited with 1." in said
    text = render(snippet_of(one, report().proposal.recommended, CATALOG))
    assert "\nProtectClock=yes\nSystemCallFilter=~@swap:EPERM\n" in text
    other = snippet_of(one, parse_set(["SYS_TIME"]), CATALOG)
    assert "ProtectClock" not in render(other)
    assert "its options were proven with another set: they are left out" in other.cautions


@pytest.mark.parametrize(
    ("said", "added"),
    [
        ("", "ProtectClock=yes\nSystemCallFilter=~@swap:EPERM\n"),
        ("ProtectClock=on\nSystemCallFilter=~@swap:EPERM\n", ""),
        ("ProtectClock=no\nSystemCallFilter=~@clock\n", "ProtectClock=yes\n"),
    ],
)
def test_a_unit_gets_those_that_it_lacks(said: str, added: str) -> None:
    """The last line of a switch counts; a filter adds to those before."""
    unit = f"[Service]\nExecStart=/bin/true\n{said}\n[Install]\nWantedBy=a.target\n"
    snippet = snippet_of(hardened(), report().proposal.recommended, CATALOG)
    text = patch(unit, None, snippet).text
    assert text.count("ProtectClock") == f"{said}{added}".count("ProtectClock")
    assert added in text
    assert patch(text, None, snippet).text == text


def test_what_trials_left_out_is_not_written() -> None:
    one = hardened()
    assert one.proven
    assert one.proven.hardening
    found = replace(one.proven.hardening, left_out=(("NoNewPrivileges=yes", "exited with 1"),))
    one = replace(one, proven=replace(one.proven, hardening=found))
    snippet = snippet_of(one, report().proposal.recommended, CATALOG)
    unit = "[Service]\nExecStart=/bin/true\n"
    assert "NoNewPrivileges" not in render(snippet) + patch(unit, None, snippet).text


def test_a_report_brings_no_lines_of_its_own(tmp_path: Path) -> None:
    """They would go into a file of root's as they are."""
    raw = dump(hardened(), CATALOG)
    raw["proof"]["hardening"]["options"] = ["ProtectClock=yes\nExecStartPre=+/bin/sh"]
    (tmp_path / "report.json").write_text(json.dumps(raw))
    with pytest.raises(BadInput, match="is none that is tried"):
        load(tmp_path / "report.json", CATALOG)


@pytest.mark.parametrize(
    ("unit", "folder"),
    [
        ("web@a.service", "web@a.service.d"),
        (r"odd\x2dname@b.service", r"odd\x2dname@b.service.d"),
        ("../../x.service", "nginx.service.d"),
        ("a.service\n[Service]\nUser=root.service", "nginx.service.d"),
    ],
)
def test_whose_drop_in_it_is(unit: str, folder: str) -> None:
    """The name is the report's: what is none is not written."""
    snippet = snippet_of(report(), frozenset(), CATALOG)
    text = render(replace(snippet, argv=("systemctl", "restart", unit)))
    assert text.splitlines()[0] == f"# /etc/systemd/system/{folder}/capadvise.conf"
