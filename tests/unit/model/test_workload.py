"""The workload file: what is read, and how what is wrong is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from capadvise.cli.manual import page
from capadvise.model.errors import BadInput
from capadvise.model.workload import KEYS, Act, Named, Step, Workload, load, needs_no_port_below
from capadvise.observe.supervise.command import user_of

WHOLE = """
name: web
kind: daemon
timeout: 2.5
setup: echo hello > index.html
command: [python3, -m, http.server, "80"]
check: curl -sf http://127.0.0.1/
teardown: "true"
fresh: [/var/lib/nginx]
steps: [start, check, reload, exec: "true", restart, check, reload: USR1, stop]
needs: [curl]
tags: [web]
notes: a note
published: {caps: "CHOWN", source: somewhere}
exclusive: true
---
name: other
command: exec sleep 1
expect_exit: any
"""


DAEMON = "name: a\ncommand: x\nkind: daemon\ncheck: x\n"


def test_a_lifecycle_has_a_round_for_each_start() -> None:
    check, reload = Step(Act.CHECK), Step(Act.RELOAD)
    assert Workload("daemon").rounds == ((check,), (check,))
    assert Workload("oneshot").rounds == ((check,),)
    steps = (Step(Act.START), check, reload, check, Step(Act.RESTART), check, Step(Act.STOP))
    assert Workload("daemon", steps=steps).rounds == ((check, reload, check), (check,))


def test_every_key_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(WHOLE)
    assert load(path) == [
        Named(
            "web",
            ("python3", "-m", "http.server", "80"),
            Workload(
                kind="daemon",
                setup="echo hello > index.html",
                check="curl -sf http://127.0.0.1/",
                timeout=2.5,
                teardown="true",
                fresh=("/var/lib/nginx",),
                steps=(
                    Step(Act.START),
                    Step(Act.CHECK),
                    Step(Act.RELOAD),
                    Step(Act.EXEC, "true"),
                    Step(Act.RESTART),
                    Step(Act.CHECK),
                    Step(Act.RELOAD, "USR1"),
                    Step(Act.STOP),
                ),
            ),
        ),
        Named("other", ("/bin/sh", "-c", "exec sleep 1"), Workload(expect_exit=None)),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\n", "line 1: key 'command' is missing"),
        ("name: a\ncommand: x\nchek: y\n", "line 3: unknown key 'chek'"),
        (f"{DAEMON}steps: []\n", "'steps' must be a list of at most 50 steps"),
        (f"{DAEMON}steps: [check]\n", "'steps' must be begun with start"),
        (f"{DAEMON}steps: [start, hop]\n", "found 'hop'"),
        (f"{DAEMON}steps: [start, exec]\n", "clear about what to execute"),
        (f"{DAEMON}steps: [start, stop: now]\n", "without a value for stop"),
        (f"{DAEMON}steps: [start, stop]\n", "'steps' must be checked after each start"),
        (f"{DAEMON}steps: [start, check, start]\n", "stopped before it is started again"),
        (f"{DAEMON}steps: [start, check, stop, check]\n", "started again before check"),
        ("name: a\ncommand: x\nsteps: [start, reload]\n", "free of reload: a oneshot ends"),
        ("name: a\nname: b\ncommand: x\n", "line 2: key 'name' appears twice"),
        ("name: a\ncommand: []\n", "'command' must be a text, or a list of texts"),
        ("name: a\ncommand: [1]\n", "'command' must be a text, or a list of texts"),
        ("name: a\ncommand: x\nkind: cron\n", "'kind' must be oneshot or daemon"),
        ("name: a\ncommand: x\ntimeout: soon\n", "'timeout' must be a number"),
        ("name: a\ncommand: x\ntimeout: -1\n", "'timeout' must be a number"),
        ("name: a\ncommand: x\ntimeout: .nan\n", "'timeout' must be a number"),
        ("name: a\ncommand: x\nexpect_exit: true\n", "'expect_exit' must be a number or any"),
        ("name: a\ncommand: x\ncheck: true\n", "'check' must be a text"),
        ("name: a\ncommand: x\nfresh: [etc]\n", "'fresh' must be a list of absolute paths"),
        ("name: a\ncommand: [x\n", "line 3"),
        ("- a\n", "expected keys and values"),
        ("", "it holds no workload"),
        ("name: a\ncommand: x\n---\nname: a\ncommand: y\n", "two workloads are called 'a'"),
        ("name: a\ncommand: x\nuser: 33\n", "'user' must be a text"),
        ("name: a\ncommand: x\nuser: a:b\n", "'user' must be the name of a user, or a quoted"),
        ("name: a\ncommand: x\nuser: '4294967295'\n", "'user' must be a user id below"),
        (f"name: a\ncommand: x\nuser: '{'9' * 9999}'\n", "'user' must be a user id below"),
        ('name: a\ncommand: ["x\\0y"]\n', "'command' must be free of NUL"),
        ("? [a]\n: b\n", "unhashable"),
        ("name: 2025-13-45\n", "month must be"),
        ("name: !!python/object:os.system x\ncommand: x\n", "line 1"),
    ],
)
def test_what_is_wrong_is_told_with_file_line_and_key(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=said) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("#" * (2 << 20))
    with pytest.raises(BadInput, match="too large"):
        load(path)


def test_the_page_names_every_key_and_its_examples_are_read(tmp_path: Path) -> None:
    text = page("workloads")
    keys = re.findall(r"(?m)^\| `(\w+)` \|", text)
    assert sorted(keys) == sorted(KEYS)
    path = tmp_path / "w.yaml"
    path.write_text("---\n".join(re.findall(r"(?s)```yaml\n(.*?)```", text)))
    assert [named.name for named in load(path)] == ["install a set-gid program", "web server"]


@pytest.mark.parametrize("number", ["4294967295", "99999999999", "9" * 9999])
def test_a_number_that_is_no_user_id_is_refused(number: str) -> None:
    """As ``--user`` takes it."""
    with pytest.raises(BadInput, match="is no user id: they are below 4294967295"):
        user_of(number)


@pytest.mark.parametrize(
    ("check", "high"),
    [
        ("$CAPADVISE_CHECK tcp:8080/http udp:5353 web", True),
        ("$CAPADVISE_CHECK redis-server", True),
        ("$CAPADVISE_CHECK tcp:8080/http tcp:80 web", False),
        ("curl -fs localhost:8080", False),  # nobody knows what else listens
        (None, False),
    ],
)
def test_whether_low_ports_are_bound(check: str | None, high: bool) -> None:
    assert needs_no_port_below(1024, check) is high
