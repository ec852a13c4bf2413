"""What is read of a machine's services and programs: units, their drop-ins, lookups, ELF files."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from capadvise.cli import main
from capadvise.kernel.executables import imported
from capadvise.observe.ftrace import pointer_readers
from capadvise.targets.systemd.unit import PROPERTIES, parse_commands, parse_unit
from capadvise.targets.systemd.unit_starts import is_of
from tests.fuzz.strategies import CHANGES, TEXTS, changed, steering

SHOWN = """\
MainPID=99
ExecMainCode=1
ExecMainStatus=3
User=www-data
Id=web.service
LoadState=loaded
ActiveState=active
ControlGroup=/system.slice/web.service
TriggeredBy=a.service b.service
"""
COMMANDS = """\
ExecStartPreEx={ path=/usr/sbin/nginx ; argv[]=/usr/sbin/nginx -t ; flags= ; start_time=[n/a] ; \
stop_time=[n/a] ; pid=96 ; code=exited ; status=0 }
ExecStopEx={ path=/bin/sh ; argv[]=/bin/sh -c echo
User=b ; flags=privileged ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }
"""
PROGRAM = Path(shutil.which("true") or "/bin/true").read_bytes()
SLOW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
UNIT = "[Service]\nExecStart=/bin/true\nCapabilityBoundingSet=CAP_KILL\nUser=a\n"
LINES = st.lists(
    st.sampled_from(
        [
            *("[Service]", "[Unit]", "CapabilityBoundingSet=", "CapabilityBoundingSet=~", "\\"),
            *("CapabilityBoundingSet=~CAP_KILL CAP_CHOWN", "AmbientCapabilities=~CAP_KILL"),
            *("ExecStart=", "ExecStart=+/bin/sh", "User=", "NoNewPrivileges=yes", "# a \\", ";"),
            *("ProtectClock=yes", "CapabilityBoundingSet=020 99 -1", "= =", "[", "\ufeff", "%i"),
        ]
    )
    | TEXTS,
    max_size=8,
).map("\n".join)


@given(CHANGES)
@example([("repeat", 0.0, 8)])
def test_what_systemctl_shows_is_read_or_passed_over(
    changes: Sequence[tuple[str, float, int]],
) -> None:
    text = changed(f"{SHOWN}{COMMANDS}".encode(), changes).decode(errors="replace")
    unit = parse_unit(text)
    assert all(type(one) is str for one in (unit.name, unit.user, unit.cgroup))
    assert unit.main >= 0
    for command in parse_commands(text):
        assert f"{command.setting}Ex" in text
        assert command.phase
    is_of(unit.cgroup, unit.name, "/a")


def test_what_this_test_damages_is_sound() -> None:
    assert len(parse_commands(COMMANDS)) == 2
    assert parse_unit(SHOWN).main == 99
    assert set(line.partition("=")[0] for line in SHOWN.splitlines()) <= set(PROPERTIES)


@SLOW
@given(LINES, LINES, TEXTS)
def test_a_unit_with_any_drop_ins_is_judged(
    tmp_path: Path, first: str, second: str, name: str
) -> None:
    folder = tmp_path / "a.service.d"
    folder.mkdir(exist_ok=True)
    (tmp_path / "a.service").write_text(UNIT)
    last = name.encode(errors="ignore").decode().replace("/", "").replace("\0", "")[:40]
    drop_ins = (folder / "0.conf", folder / f"{last}.conf")
    for path, text in zip(drop_ins, (first, second), strict=True):
        path.write_text(text, encoding="utf-8", errors="replace", newline="")
    try:
        with redirect_stdout(io.StringIO()) as said:
            assert main(["check", "--strict", str(tmp_path / "a.service")]) in (0, 1, 2)
        assert not steering(said.getvalue())
    finally:
        for path in drop_ins:
            path.unlink(missing_ok=True)


@SLOW
@given(CHANGES)
def test_a_damaged_program_imports_something_or_nothing(
    tmp_path: Path, changes: Sequence[tuple[str, float, int]]
) -> None:
    path = tmp_path / "program"
    path.write_bytes(changed(PROGRAM[:4096], changes) + PROGRAM[4096:])
    handle = os.open(path, os.O_PATH)
    try:
        assert imported(handle, ["malloc", "no such"]) <= {"malloc"}
    finally:
        os.close(handle)


@given(st.binary(max_size=400) | TEXTS.map(lambda text: text.encode(errors="surrogatepass")))
def test_any_path_is_of_a_process_or_not(raw: bytes) -> None:
    place = pointer_readers.parse(pointer_readers.text(b"/proc/" + raw))
    assert place is None or place[0] >= 0
    assert all(
        number >= 0 for number in pointer_readers.processes_named(pointer_readers.words_of(raw))
    )
