"""``check --installed``: which unit files count, and the table of what they hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from capadvise.cli import main
from capadvise.gate import installed as gate_installed
from capadvise.gate.installed import installed

UNIT = "[Service]\nExecStart=/usr/bin/true\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two folders, the first of which counts for more."""
    folders = [tmp_path / "etc", tmp_path / "usr"]
    for folder in folders:
        folder.mkdir()
    monkeypatch.setattr(gate_installed, "UNIT_PATH", [str(folder) for folder in folders])
    return tmp_path


def put(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def found(machine: Path) -> list[list[str]]:
    groups = installed(gate_installed.UNIT_PATH)
    return [[str(Path(path).relative_to(machine)) for path in group] for group in groups]


def test_the_first_file_of_a_name_counts(machine: Path) -> None:
    put(machine / "usr/web.service", UNIT)
    put(machine / "etc/web.service", UNIT)
    put(machine / "usr/shell@.service", UNIT)
    assert found(machine) == [["usr/shell@.service"], ["etc/web.service"]]


def test_what_is_masked_or_another_name_is_left_out(machine: Path) -> None:
    for name in ("masked", "empty", "real", "gone"):
        put(machine / f"usr/{name}.service", UNIT)
    (machine / "etc/masked.service").symlink_to("/dev/null")
    (machine / "etc/empty.service").touch()
    (machine / "etc/gone.service").symlink_to("nowhere.service")
    (machine / "etc/alias.service").symlink_to(machine / "usr/real.service")
    assert found(machine) == [["usr/real.service"]]


def test_drop_ins_of_all_folders(machine: Path) -> None:
    """In the order of their names; of two with one name, that of the first folder."""
    put(machine / "usr/a-web.service", UNIT)
    put(machine / "usr/a-web.service.d/20.conf", "[Service]\n")
    put(machine / "usr/a-.service.d/10.conf", "[Service]\n")
    put(machine / "usr/service.d/30.conf", "[Service]\n")
    put(machine / "etc/a-web.service.d/10.conf", "[Service]\n")
    (machine / "etc/a-web.service.d/30.conf").symlink_to("/dev/null")
    assert found(machine) == [
        ["usr/a-web.service", "etc/a-web.service.d/10.conf", "usr/a-web.service.d/20.conf"]
    ]


def test_drop_ins_of_all_services_count_least(machine: Path) -> None:
    put(machine / "usr/web.service", UNIT)
    put(machine / "usr/web.service.d/1.conf", "[Service]\n")
    put(machine / "etc/service.d/1.conf", "[Service]\n")
    assert found(machine) == [["usr/web.service", "usr/web.service.d/1.conf"]]


def test_drop_ins_of_another_name_are_the_units_own(machine: Path) -> None:
    put(machine / "usr/ssh.service", UNIT)
    (machine / "etc/sshd.service").symlink_to(machine / "usr/ssh.service")
    put(machine / "etc/sshd.service.d/1.conf", "[Service]\n")
    assert found(machine) == [["usr/ssh.service", "etc/sshd.service.d/1.conf"]]


def test_an_instance_that_only_has_drop_ins_is_a_unit(
    machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(machine / "usr/getty@.service", f"{UNIT}CapabilityBoundingSet=\n")
    put(machine / "usr/getty@.service.d/1.conf", "[Service]\n")
    put(
        machine / "etc/getty@tty1.service.d/2.conf",
        "[Service]\nCapabilityBoundingSet=CAP_SYS_ADMIN\n",
    )
    put(machine / "etc/other@x.service.d/3.conf", "[Service]\n")
    template = ["usr/getty@.service", "usr/getty@.service.d/1.conf"]
    instance = [template[0], template[1], "etc/getty@tty1.service.d/2.conf"]
    assert found(machine) == [template, instance]
    assert main(["check", "--installed"]) == 1
    assert "getty@tty1" in capsys.readouterr().out


def test_a_line_each(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(machine / "usr/web.service", UNIT)
    put(machine / "usr/small.service", UNIT)
    put(machine / "etc/small.service.d/x.conf", "[Service]\nCapabilityBoundingSet=CAP_CHOWN\n")
    put(machine / "usr/user.service", f"{UNIT}User=www-data\n")
    put(machine / "usr/none.service", f"{UNIT}CapabilityBoundingSet=\n")
    put(machine / "usr/broken.service", "[Service]\nUser=\nNoNewPrivileges=maybe\n")
    put(machine / "usr/bus.service", "[D-BUS Service]\nName=a\n")
    assert main(["check", "--installed"]) == 2
    out, err = capsys.readouterr()
    rows = {line[2:34].strip(): line[34:] for line in out.splitlines()[1:-3]}
    assert {name: " ".join(rest.split()) for name, rest in rows.items()} == {
        "user": "www-data none all 41, by set-id programs only",
        "web": "root none all 41",
        "small": "root none CHOWN",
        "none": "root none none",
    }
    assert "4 services: 2 have all 41 capabilities, 4 have no report" in out
    assert out.splitlines()[-1].startswith("× and ! mark errors and warnings")
    assert "broken.service: line 3" in err


@pytest.mark.parametrize("words", [[], ["--installed", "a.yaml"], ["--installed", "--fix"]])
def test_what_does_not_fit(words: list[str]) -> None:
    assert main(["check", *words]) == 2
