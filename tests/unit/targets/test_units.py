"""Units: what systemctl says of them, the command lines that start them, and drop-ins."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from capadvise.catalog import default
from capadvise.config import LANGUAGES
from capadvise.config.snippet_from import snippet_of
from capadvise.config.systemd.edit import patch
from capadvise.config.systemd.file import read
from capadvise.judgement.report import Report
from capadvise.kernel import procfs
from capadvise.kernel.syscalls import Ids
from capadvise.model.caps import NAMES, CapSet, parse_set
from capadvise.model.errors import BadInput
from capadvise.model.recording import Phase
from capadvise.model.target import short_unit
from capadvise.observe.tracking.tasks import Task
from capadvise.report.text import proposal_text
from capadvise.targets.systemd import drop_in, manager, record, safety
from capadvise.targets.systemd.invocation import recognize, restart_of, service_of
from capadvise.targets.systemd.invocation import started as started_by
from capadvise.targets.systemd.record import active_check
from capadvise.targets.systemd.unit import COMMANDS, PROPERTIES, parse_commands, parse_unit
from capadvise.targets.systemd.unit_starts import UnitStarts, is_of
from capadvise.workflow.jobs import Ways, job_of
from tests.support.recordings import report
from tests.support.required import tool
from tests.support.wait import until

SHOWN = """\
Type=forking
MainPID=99
ExecMainCode=1
ExecMainStatus=3
ExecStartPreEx={ path=/usr/sbin/nginx ; argv[]=/usr/sbin/nginx -t -q -g daemon on; master_process \
on; ; flags= ; start_time=[Thu 2026-11-26 14:31:18 UTC] ; stop_time=[n/a] ; pid=96 ; code=exited ; \
status=0 }
ExecStartPreEx={ path=/bin/sh ; argv[]=/bin/sh -c mknod /run/a c 1 3 ; flags=ignore-failure \
privileged ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }
ExecStartEx={ path=sleep ; argv[]=sleep 5 ; flags= ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; \
code=(null) ; status=0/0 }
ExecStopEx={ path=/bin/sh ; argv[]=/bin/sh -c true ; flags=no-setuid ; start_time=[n/a] ; \
stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }
User=www-data
DynamicUser=no
ProtectClock=yes
PrivateDevices=no
Id=web.service
LoadState=loaded
ActiveState=active
SubState=running
ControlGroup=/system.slice/web.service
RefuseManualStart=no
"""
UNIT = replace(parse_unit(SHOWN), commands=parse_commands(SHOWN))
SOME: CapSet = parse_set(["KILL", "NET_BIND_SERVICE"])


def test_what_systemctl_shows() -> None:
    unit = UNIT
    assert (unit.name, unit.short_name, unit.user) == ("web.service", "web", "www-data")
    assert (unit.active, unit.sub, unit.main, unit.status) == ("active", "running", 99, 3)
    assert [(one.setting, one.path, one.privileged) for one in unit.commands] == [
        ("ExecStartPre", "/usr/sbin/nginx", False),
        ("ExecStartPre", "/bin/sh", True),
        ("ExecStart", "sleep", False),
        ("ExecStop", "/bin/sh", False),
    ]
    assert unit.settings >= {"ProtectClock"}
    assert "PrivateDevices" not in unit.settings
    assert unit.runs
    assert not unit.is_root


def test_lines_of_a_command_are_its_own() -> None:
    """As systemctl of systemd 252 shows ``ExecStart=/bin/sh -c 'echo\\nExecStopEx=…'``."""
    lines = "echo\nMainPID=x\nActiveState=failed\nExecStopEx={ path=/bin/false ; argv[]="
    shown = SHOWN.replace("sleep 5 ;", f"{lines} ;")
    assert lines in shown
    commands = parse_commands(shown)
    assert [one.path for one in commands] == [one.path for one in UNIT.commands]
    asked_for = set(PROPERTIES) & set(COMMANDS)
    assert not asked_for, "their lines would be taken for what the unit is"


@pytest.mark.parametrize(
    ("group", "is_its_own"),
    [
        ("/top/system.slice/web.service", True),
        ("/top/system.slice/system-web.slice/web.service/below", True),
        ("/top/web.service", True),
        ("/system.slice/web.service", False),
        ("/topmost/system.slice/web.service", False),
        ("/top/user.slice/user-7.slice/user@7.service/app.slice/web.service", False),
        ("/top/system.slice/docker-01.scope/system.slice/web.service", False),
        ("/top/docker/01/system.slice/web.service", False),
        ("/top/system.slice", False),
        ("/top/", False),
    ],
)
def test_whose_control_group_it_is(group: str, is_its_own: bool) -> None:
    assert is_of(group, "web.service", "/top") is is_its_own
    assert is_of(group.removeprefix("/top"), "web.service", "") is (
        is_its_own or group == "/system.slice/web.service"
    )


def test_what_a_process_left_that_is_still_listed_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end is known by what it had open, a moment before /proc forgets it."""
    monkeypatch.setattr(drop_in, "_NOTES", tmp_path)
    note, done = tmp_path / f"web.service.{procfs.mark()}", tmp_path / "done"
    note.write_text(json.dumps(["touch", str(done)]))
    assert drop_in.undo_abandoned() == ()
    assert not done.exists()
    assert drop_in.undo_abandoned(os.getpid()) == ("web.service",)
    assert done.exists()


def test_a_check_names_the_unit_whatever_it_is_called() -> None:
    assert shlex.split(active_check(r"a\x2db@c.service"))[-1] == r"a\x2db@c.service"


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [("0", "0", None), ("1", "3", 3), ("2", "9", -9), ("", "", None)],
)
def test_how_a_main_process_ended(code: str, status: str, expected: int | None) -> None:
    assert parse_unit(f"ExecMainCode={code}\nExecMainStatus={status}\n").status == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("systemctl start nginx", ("start", "nginx.service")),
        ("/usr/bin/systemctl restart nginx.service", ("restart", "nginx.service")),
        ("sudo systemctl -q restart foo@bar", ("restart", "foo@bar.service")),
        ("systemctl restart php8.2-fpm", ("restart", "php8.2-fpm.service")),
        ("systemctl status nginx", None),
        ("systemctl list-units nginx*", None),
        ("systemctl cat web@.service", None),
        ("systemctl enable ./web.service", None),
        ("systemctl", None),
        ("nginx start", None),
        ("docker start systemctl", None),
        ("systemd-run --scope -p CPUQuota=20% nginx", None),
        ("machinectl list", None),
    ],
)
def test_which_command_lines_start_a_unit(line: str, expected: tuple[str, str] | None) -> None:
    order = recognize(line.split())
    assert (order and (order.verb, order.unit)) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("systemctl restart a.service b", ("a.service", "b")),
        ("/bin/systemctl --quiet enable --now nginx", ("nginx",)),
        ("systemctl enable nginx", ()),
        ("systemctl daemon-reload", ()),
        ("systemctl --user restart a", ()),
        ("service nginx start", ()),
    ],
)
def test_what_a_script_has_systemd_start(line: str, expected: tuple[str, ...]) -> None:
    assert started_by(line.split()) == expected


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("systemctl --user start foo", "systemctl --user"),
        ("systemctl -M box restart foo", "systemctl -M"),
        ("systemctl start a b", "one unit is recorded at a time"),
        ("systemctl start", "one unit is recorded at a time"),
        ("systemctl start multi-user.target", "one service is recorded at a time"),
        ("systemctl start session-1.scope", "systemd did not start what is in it"),
        ("systemctl start home.mount", "only services are recorded"),
        ("systemctl start ../x", "not the name of a unit"),
        ("systemctl start web@", "web@ is a template: one of its instances is recorded"),
        ("systemctl start web@.service", "is a template"),
        ("sudo systemctl stop foo", "systemctl stop: a unit is recorded from its start on"),
        ("systemctl --user stop foo", "systemctl --user"),
        ("systemctl -q reload foo.service", "systemctl reload: a unit is recorded from its start"),
        ("systemctl start nginx*", "not the name of a unit"),
        ("sudo systemd-run -p User=www-data nginx", "the service manager starts the command"),
        ("machinectl start box", "the service manager starts the machine"),
    ],
)
def test_what_starts_units_in_a_way_that_is_not_recorded(line: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        recognize(line.split())


LOADED = {"LoadState": "loaded", "ActiveState": "active", "Triggers": "web.service"}


@pytest.mark.parametrize("name", ["web.socket", "web.timer", "web.path"])
def test_what_starts_a_service_stands_for_it(name: str) -> None:
    order = recognize(["systemctl", "start", name])
    assert order
    assert order.unit == name
    assert service_of(name, LOADED) == "web.service"


@pytest.mark.parametrize(
    ("name", "said", "why"),
    [
        ("web.socket", {"LoadState": "not-found"}, "there is no unit"),
        ("web.socket", {"LoadState": "masked"}, "systemd says masked"),
        ("web.socket", {"Accept": "yes"}, "for each connection"),
        ("web.socket", {"ActiveState": "inactive"}, "would get no socket"),
        ("web.timer", {"Triggers": ""}, "starts no service"),
        ("web.path", {"Triggers": "a.service b.service"}, "starts a.service and b.service"),
    ],
)
def test_what_starts_no_service_that_can_be_recorded(
    name: str, said: dict[str, str], why: str
) -> None:
    with pytest.raises(BadInput, match=why):
        service_of(name, LOADED | said)


def test_a_timer_need_not_run() -> None:
    assert service_of("web.timer", LOADED | {"ActiveState": "inactive"}) == "web.service"


@pytest.mark.parametrize(
    ("user", "ambient"), [("", ()), ("www-data", ("CAP_KILL", "CAP_NET_BIND_SERVICE"))]
)
def test_a_trial_gives_exactly_the_set(user: str, ambient: tuple[str, ...]) -> None:
    unit = parse_unit(f"Id=web.service\nUser={user}\n")
    (declared,) = read(drop_in.for_trial(unit, SOME), "web.service.d/x.conf")
    assert (declared.drop, declared.add) == (("ALL",), ("CAP_KILL", "CAP_NET_BIND_SERVICE"))
    assert declared.ambient == ambient
    (nothing,) = read(drop_in.for_trial(unit, frozenset()), "web.service.d/x.conf")
    assert (nothing.drop, nothing.add, nothing.ambient) == (("ALL",), (), ())


@pytest.mark.parametrize("user", ["", "www-data"])
def test_a_recording_gives_everything(user: str) -> None:
    unit = parse_unit(f"Id=web.service\nUser={user}\n")
    (declared,) = read(drop_in.for_recording(unit), "web.service.d/x.conf")
    assert (declared.drop, declared.add) == ((), ())
    assert declared.no_new_privileges is False
    assert len(declared.ambient or ()) == (0 if user == "" else len(NAMES))


def test_systemd_knows_every_line_of_a_drop_in(tmp_path: Path) -> None:
    """What it does not know, it ignores with a warning."""
    unit = parse_unit("Id=web.service\nUser=daemon\n")
    drop_ins = tmp_path / "web.service.d"
    drop_ins.mkdir()
    (tmp_path / "web.service").write_text("[Service]\nExecStart=/bin/true\nUser=daemon\n")
    for text in (drop_in.for_recording(unit), drop_in.for_trial(unit, SOME)):
        (drop_ins / "10.conf").write_text(text)
        words = [tool("systemd-analyze"), "verify", "--man=no", str(tmp_path / "web.service")]
        said = subprocess.run(words, capture_output=True, text=True).stderr
        assert not [line for line in said.splitlines() if "10.conf" in line]


def of_unit(**more: Any) -> Report:
    known = report()
    order = restart_of("web.service")
    target = replace(known.target, kind="unit", name="web", argv=order.argv)
    return replace(known, target=target, **more)


def test_nothing_is_said_of_another_user_in_its_drop_in() -> None:
    """The unit ran as the user that its own files name."""
    snippet = snippet_of(of_unit(), SOME, default())
    assert patch("", None, snippet).notes == ()
    assert "User=" not in LANGUAGES["systemd"].render(snippet)
    other = snippet_of(report(), SOME, default())
    assert "a user other than root" in " ".join(patch("", None, other).notes)


def test_what_a_unit_is_called() -> None:
    """Its report by its short name, itself by its whole one."""
    assert [short_unit(name) for name in ("web.service", "srv.mount", "a.b")] == [
        "web",
        "srv",
        "a.b",
    ]
    target = replace(of_unit().target, name="srv", argv=restart_of("srv.mount").argv)
    assert (target.unit, replace(target, argv=("x",)).unit) == ("srv.mount", "srv.service")
    text = LANGUAGES["systemd"].render(
        snippet_of(replace(of_unit(), target=target), frozenset(), default())
    )
    assert "srv.mount.d" in text
    assert "\n[Mount]\n" in text


def test_what_is_said_of_a_unit() -> None:
    text = "\n".join(proposal_text(of_unit(), default(), Path("r.json"), columns=100))
    assert text.startswith("web.service most likely needs NET_BIND_SERVICE, NET_ADMIN (2; its")
    assert "its unit grants all 41" in text
    assert "Next: sudo capadvise prove r.json" in text
    assert "docker" not in text


def test_its_trials_restart_it() -> None:
    job = job_of(of_unit())
    assert (job.isolation, job.argv) == ("unit", ("systemctl", "restart", "web.service"))
    assert job.alone
    assert not job.takes_settings
    assert job.limit == report().recording.held.bounding
    for ways in (Ways(isolate=False), Ways(in_place=True), Ways(reuse_volumes=True)):
        with pytest.raises(BadInput, match="restart the unit itself"):
            job_of(of_unit(), ways)


def started(starts: UnitStarts, path: str) -> Task:
    """A process that has just executed a program; it is gone already."""
    task = Task("systemd-executor", Ids(0, 0, 0), Ids(0, 0, 0))
    starts.executed(1, 2**22 + 1, task, path)
    return task


def test_commands_are_told_apart_by_their_order() -> None:
    """The same program is executed with ``+`` and without."""
    starts = UnitStarts(UNIT)
    executor = started(starts, "/usr/lib/systemd/systemd-executor")
    assert executor.scope is None
    assert started(starts, "/usr/sbin/nginx").scope is starts.scope is not None
    privileged = started(starts, "/bin/sh")
    assert privileged.scope is None
    starts.executed(2, 2**22 + 1, privileged, "/usr/bin/sleep")
    assert privileged.scope is None
    assert started(starts, "/usr/bin/sleep").scope is starts.scope
    stop = started(starts, "/bin/sh")
    assert (stop.scope, stop.phase) == (starts.scope, Phase.STOP_COMMAND)
    assert started(starts, "/usr/sbin/nginx").scope is starts.scope
    assert started(starts, "/bin/sh").scope is None
    assert starts.privileged == {"/bin/sh"}


def test_other_units_are_not_counted() -> None:
    starts = UnitStarts(UNIT)
    assert started(starts, "/usr/sbin/cron").scope is None
    assert starts.scope is None


RNDC = """
ExecStartEx={ path=/usr/sbin/named ; argv[]=/usr/sbin/named -f $O ; flags= ; start_time=[n/a] }
ExecReloadEx={ path=/usr/sbin/rndc ; argv[]=/usr/sbin/rndc reload ; flags= ; start_time=[n/a] }
ExecStopEx={ path=/usr/sbin/rndc ; argv[]=/usr/sbin/rndc stop ; flags= ; start_time=[n/a] }
"""


def test_a_stop_is_no_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's named: both are commands of one program, of which its words tell, or when it is."""
    named = replace(UNIT, commands=parse_commands(RNDC))
    starts = UnitStarts(named)  # it ran: the restart stops it
    assert started(starts, "/usr/sbin/rndc").phase is Phase.STOP_COMMAND
    assert started(starts, "/usr/sbin/named").phase is Phase.RUN
    assert started(starts, "/usr/sbin/rndc").phase is Phase.RELOAD
    starts.stopping = True
    assert started(starts, "/usr/sbin/rndc").phase is Phase.STOP_COMMAND
    down = replace(named, active="inactive")
    assert started(UnitStarts(down), "/usr/sbin/rndc").phase is Phase.RELOAD
    starts = UnitStarts(down)
    monkeypatch.setattr(procfs, "arguments", lambda pid: ("/usr/sbin/rndc", "stop"))
    assert started(starts, "/usr/sbin/rndc").phase is Phase.STOP_COMMAND


@pytest.mark.parametrize(
    ("words", "name", "record"),
    [
        (
            "/usr/bin/podman run --name systemd-web --rm -d web sh -c a; b",
            "systemd-web",
            "podman run",
        ),
        ("/usr/bin/podman start -a web", "CONTAINER", "podman run"),
        ("/usr/bin/docker compose up", "CONTAINER", "docker compose up"),
        ("/usr/bin/docker-compose -f a.yaml up", "CONTAINER", "docker-compose up"),
        ("/usr/bin/env A=b docker run --name x web", "x", "docker run"),
        ("/usr/bin/podman system service", None, ""),
        ("/usr/sbin/nginx run", None, ""),
    ],
)
def test_a_container_is_not_its_unit(words: str, name: str | None, record: str) -> None:
    """A quadlet's unit: what it starts is podman, which needs SYS_ADMIN."""
    shown = RNDC.replace("/usr/sbin/named -f $O", words)
    unit = replace(UNIT, commands=parse_commands(shown))
    if name is None:
        safety.require_own_processes(unit)
        return
    with pytest.raises(BadInput, match=r"web.service starts a container") as raised:
        safety.require_own_processes(unit)
    assert f"capadvise attach {name};" in str(raised.value.hint)
    assert f"capadvise run -- {record} …" in str(raised.value.hint)


def test_of_a_unit_whose_client_cannot_be_recorded_nothing_else_is_said() -> None:
    shown = RNDC.replace("/usr/sbin/named -f $O", "/usr/bin/ctr run --rm web web")
    unit = replace(UNIT, commands=parse_commands(shown))
    with pytest.raises(BadInput, match="starts a container, with ctr") as raised:
        safety.require_own_processes(unit)
    assert "capadvise attach PID" in str(raised.value.hint)
    assert "capadvise run" not in str(raised.value.hint)


def test_what_restrains_a_unit_is_read_later_where_its_first_commands_are_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starts = UnitStarts(UNIT)
    assert started(starts, "/usr/sbin/nginx").scope is starts.scope
    assert starts.posture is None
    zombie = subprocess.Popen(["true"])
    until(lambda: procfs.state(zombie.pid) == "Z")
    starts.look(zombie.pid)
    assert not starts.main_seen
    partly = starts.posture
    client: Any = SimpleNamespace(fds=[])
    subject = record.UnitSubject(client, UNIT, starts)
    monkeypatch.setattr(record, "processes", lambda unit: [os.getpid()])
    monkeypatch.setattr(manager, "show", lambda unit: UNIT)
    client.update, client.ended = list, True
    until(lambda: bool(subject.update()))
    zombie.wait()
    assert starts.main_seen
    assert starts.posture is not None
    assert starts.posture != partly
