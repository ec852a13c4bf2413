"""For each field of a workload, a target for which that field alone decides what becomes of a
trial."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from capadvise.model.workload import ONE_START, Act, Step, Workload
from capadvise.proof.trials import runner
from capadvise.proof.trials.stop import Stop

_DAEMON = Workload("daemon", check="test -e fine", timeout=20.0, steps=ONE_START)
_UNTRIED = "sleep 2; test -e tried && exit 1; touch fine; exec sleep 60"
_REFUSED = (Step(Act.START), Step(Act.EXEC, "exit 1"), Step(Act.CHECK), Step(Act.STOP))


@dataclass(frozen=True, slots=True)
class Row:
    """A target that fails with a workload, and passes where one field has another value."""

    target: str
    value: Any
    workload: Workload = field(default_factory=Workload)
    passes: bool = True
    """False: it is the other way round."""
    left: str | None = None
    """The file that is there, or no longer, where both pass."""


ROWS = {
    "kind": Row("touch fine; sleep 6; exit 3", "daemon", replace(_DAEMON, kind="oneshot")),
    "setup": Row("test -e made", "touch made"),
    "check": Row("true", "false", passes=False),
    "expect_exit": Row("exit 3", 3),
    "timeout": Row("sleep 1.5", 1.0, passes=False),
    "teardown": Row("touch written", "rm written", left="written"),
    "fresh": Row("touch written", ("$W",), left="written"),
    "check_after": Row(_UNTRIED, 4.0, replace(_DAEMON, check="touch tried; test -e fine")),
    "steps": Row("touch fine; exec sleep 60", _REFUSED, _DAEMON, passes=False),
}


def trial(name: str, workload: Workload, folder: Path) -> tuple[bool, str, bool]:
    """(passed, why not, whether the row's file is left)."""
    row = ROWS[name]
    if name != "fresh":
        folder.mkdir()
        return _trial(row, workload, folder, "none", str(folder))
    # Trials of a workload file cover every folder, also those that are not named.
    with TemporaryDirectory(dir="/srv") as place:
        workload = replace(workload, fresh=tuple(place for _ in workload.fresh))
        return _trial(row, workload, Path(place), "workload", None)


def _trial(
    row: Row, workload: Workload, folder: Path, isolation: str, cwd: str | None
) -> tuple[bool, str, bool]:
    target = ("sh", "-c", f"cd {folder}; {row.target}")
    job = runner.Job(target, workload, isolation, cwd=cwd, observed=False)
    with Stop() as stop:
        outcome, _ = runner.run_once(job, runner.everything(job), stop)
    return outcome.passed, outcome.why, row.left is not None and (folder / row.left).exists()
