"""What must hold after anything: SECURITY.md promises it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from capadvise.judgement.report import Report
from capadvise.kernel import procfs
from capadvise.kernel.process_tree import descendants
from capadvise.observe.ftrace import tracefs
from capadvise.report.load import load
from tests.support import schema
from tests.support.processes import Marked, leftovers
from tests.support.recordings import CATALOG
from tests.support.runs import CAPADVISE
from tests.support.wait import until

ROOT = Path(__file__).parents[2]


def in_mounts_of_its_own(script: str, folder: Path) -> str:
    """Run it in a mount namespace, with our command and our folder; what it printed."""
    (folder / "f").touch()
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", script, "bash", CAPADVISE, str(ROOT)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def kind_of(pid: int) -> str | None:
    """What a process of ours is; None for others."""
    line = " ".join(procfs.arguments(pid))
    kinds = {
        "capadvise guardian": "guardian",
        "capadvise keeper": "keeper",
        "tracer.py": "tracer",
        "linux.trials.sandbox": "stage",
    }
    return next((kind for text, kind in kinds.items() if text in line), None)


def ours(root: int) -> dict[int, str]:
    """The processes of one capadvise: pid → what it is. What a guardian forks, as the target, has
    its command line until its exec, and is not the guardian."""
    kinds = {pid: kind for pid in descendants(root) if (kind := kind_of(pid)) is not None}
    guardians = {pid for pid, kind in kinds.items() if kind == "guardian"}
    forked = {pid: "forked" for pid in guardians if procfs.parent(pid) in guardians}
    return {root: "supervisor"} | kinds | forked


def containers(label: str, client: Sequence[str] = ("docker",)) -> list[str]:
    """The containers of an engine that run and carry a label of capadvise's, with its value."""
    form = f'{{{{.ID}}}} {{{{.Label "{label}"}}}}'
    words = [*client, "ps", f"--filter=label={label}", f"--format={form}"]
    return subprocess.run(words, capture_output=True, text=True).stdout.splitlines()


def nothing_is_left(marked: Marked, supervisors: set[int]) -> None:
    """No process of the target, no process, trace instance or scratch folder of ours."""
    until(lambda: not marked.processes(), shows=marked.processes)
    gone(supervisors)
    until(
        lambda: not marked.processes(ours=True),
        shows=lambda: [procfs.arguments(pid) for pid in marked.processes(ours=True)],
    )


def gone(supervisors: set[int]) -> None:
    """No process, trace instance or scratch folder of ours."""
    until(lambda: not any(map(_lives, supervisors)), shows=lambda: supervisors)
    marks = tuple(f"{tracefs.PREFIX}{pid}-" for pid in supervisors)
    until(lambda: not [name for name in leftovers() if name.startswith(marks)], shows=leftovers)
    until(lambda: not scratch(supervisors), shows=lambda: scratch(supervisors))


def _lives(pid: int) -> bool:
    return procfs.state(pid) not in ("", "Z")


def scratch(supervisors: set[int]) -> list[str]:
    """The folders that trials left."""
    folders = (f"capadvise-trial-{pid}-*" for pid in supervisors)
    return [path.name for pattern in folders for path in Path("/tmp").glob(pattern)]


def sound(path: Path) -> Report | None:
    """The report, if there is one: it follows the schema and is read."""
    if not path.exists():
        return None
    raw: dict[str, Any] = json.loads(path.read_text())
    schema.report().validate(raw)
    return load(path, CATALOG)
