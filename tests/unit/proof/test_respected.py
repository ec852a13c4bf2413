"""Trials respect each field of a workload, and a recording passes each option on to them.

Whoever adds a field to ``Workload`` adds a row to ``ROWS``: a target for which that field alone
decides what becomes of a trial. Who adds an option that trials are to respect gives ``Command``
and ``Workload`` a field of the same name, and ``Command.workload`` carries it over.
"""

from __future__ import annotations

import ast
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pytest

import capadvise
from capadvise.model.workload import ONE_START, Act, Step, Workload
from capadvise.observe.supervise.command import Command
from capadvise.proof.trials import runner
from capadvise.proof.trials.stop import Stop

_DAEMON = Workload("daemon", check="test -e fine", timeout=3.0, steps=ONE_START)
_GOES_ON = "touch fine; exec sleep 60"
_UNTRIED = "sleep 0.5; test -e tried && exit 1; touch fine; exec sleep 60"
_ASKED = (Step(Act.START), Step(Act.EXEC, "touch fine"), Step(Act.CHECK), Step(Act.STOP))


@dataclass(frozen=True, slots=True)
class _Row:
    """A target that fails with a workload, and passes where one field has another value."""

    target: str
    value: Any
    workload: Workload = field(default_factory=Workload)
    passes: bool = True
    """False: it is the other way round."""
    left: str | None = None
    """The file that is there, or no longer, where both pass."""


ROWS = {
    "kind": _Row(_GOES_ON, "daemon", replace(_DAEMON, kind="oneshot", steps=None)),
    "setup": _Row("test -e made", "touch made"),
    "check": _Row("true", "false", passes=False),
    "expect_exit": _Row("exit 3", 3),
    "timeout": _Row("sleep 1.5", 1.0, passes=False),
    "teardown": _Row("touch written", "rm written", left="written"),
    "fresh": _Row("touch written", ("$W",), left="written"),
    "check_after": _Row(_UNTRIED, 1.0, replace(_DAEMON, check="touch tried; test -e fine")),
    "steps": _Row("exec sleep 60", _ASKED, replace(_DAEMON, steps=ONE_START)),
}


def test_each_field_has_a_row() -> None:
    assert list(ROWS) == [each.name for each in fields(Workload)]


def _trial(name: str, workload: Workload, folder: Path) -> tuple[bool, str, bool]:
    """(passed, why not, whether the row's file is left)."""
    folder.mkdir()
    row = ROWS[name]
    workload = replace(workload, fresh=tuple(str(folder) for _ in workload.fresh))
    isolation = "command" if name == "fresh" else "none"
    cwd = "/" if name == "fresh" else str(folder)
    target = ("sh", "-c", f"cd {folder}; {row.target}")
    job = runner.Job(target, workload, isolation, cwd=cwd, observed=False)
    with Stop() as stop:
        outcome, _ = runner.run_once(job, runner.everything(job), stop)
    return outcome.passed, outcome.why, row.left is not None and (folder / row.left).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="a trial is made by root")
def test_a_trial_respects_each_field(tmp_path: Path) -> None:
    """The trials mostly wait: they are made side by side."""
    with ThreadPoolExecutor(4) as pool:
        pairs = {
            name: [
                pool.submit(_trial, name, replace(row.workload, **change), tmp_path / f"{name}{n}")
                for n, change in enumerate(({}, {name: row.value}))
            ]
            for name, row in ROWS.items()
        }
    for name, (without, with_it) in pairs.items():
        row, seen = ROWS[name], (without.result(), with_it.result())
        if row.left is not None:
            assert seen == ((True, "", True), (True, "", False)), name
        else:
            assert [passed for passed, _, _ in seen] == [not row.passes, row.passes], (name, seen)


_OTHER: dict[str, Any] = {"check_after": 7.0}
"""Options of a command that trials respect, besides its kind and its check → another value."""


def test_what_a_command_has_in_common_with_a_workload_is_carried_over() -> None:
    common = {each.name for each in fields(Command)} & {each.name for each in fields(Workload)}
    assert common == {"kind", "check", *_OTHER}
    made = replace(Command(("true",)), **_OTHER).workload("daemon", "true")
    assert made == Workload("daemon", check="true", **_OTHER)
    assert Command(("true",), check_after=7.0).workload("oneshot", None) == Workload()


def test_each_recorder_leaves_the_workload_to_the_command() -> None:
    """One that made its own would forget the next option."""
    package = Path(capadvise.__file__).parent
    makers = set()
    for room in ("observe", "targets"):
        for path in sorted((package / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                match node:
                    case ast.Call(func=ast.Name("Workload")):
                        makers.add(str(path.relative_to(package)))
    assert makers == {"observe/supervise/command.py"}
