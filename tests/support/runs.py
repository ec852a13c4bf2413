"""``capadvise run`` as a program, and what came out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CAPADVISE = str(Path(sys.executable).with_name("capadvise"))


@dataclass(frozen=True)
class Result:
    """One run."""

    code: int
    stdout: str
    stderr: str
    report: dict[str, Any]

    @property
    def recommended(self) -> set[str]:
        return set(self.report["proposal"]["cap_add"])

    @property
    def minimal(self) -> set[str] | None:
        minimal = self.report["proposal"]["minimal"]
        return None if minimal is None else {name.removeprefix("CAP_") for name in minimal}

    def need(self, name: str) -> dict[str, Any] | None:
        return next((n for n in self.report["needs"] if n["cap"] == f"CAP_{name}"), None)

    @property
    def programs(self) -> set[str]:
        return {check["program"] for check in self.report["recordings"][0]["checks"]}


Run = Callable[..., Result]
"""The fixture ``run``."""


def record(
    report: Path,
    *argv: str,
    options: Sequence[str] = (),
    before: Sequence[str] = (),
    timeout: float = 600,
    gaps: bool = False,
    **popen: Any,
) -> Result:
    """``before… capadvise run [options] -- argv``. ``gaps``: the command changes its trace; of no
    other one, the recording says so."""
    if "input" not in popen:
        popen.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run(
        [*before, CAPADVISE, "run", "-o", str(report), *options, "--", *argv],
        capture_output=True,
        text=True,
        timeout=timeout,
        **popen,
    )
    content = json.loads(report.read_text()) if report.is_file() else {}
    for recording in () if gaps else content.get("recordings", ()):
        assert recording["lost"]["gaps"] == [], recording["lost"]
    return Result(done.returncode, done.stdout, done.stderr, content)
