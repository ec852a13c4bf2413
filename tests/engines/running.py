"""capadvise around real containers."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.engines.conftest import ENVIRONMENT, PODMAN
from tests.kernel.conftest import CAPADVISE

CLIENTS = {"docker": ("docker",), "podman": PODMAN}
MARK = f"capadvise-test-{os.getpid()}"
BOX = f"{MARK}-box:1"
DEBIAN = f"{MARK}-debian:1"
REDIS = f"{MARK}-redis:1"


@dataclass(frozen=True)
class Seen:
    """One run of capadvise."""

    code: int
    stderr: str
    report: dict[str, Any]

    @property
    def recommended(self) -> set[str]:
        return set(self.report["proposal"]["cap_add"])

    @property
    def floor(self) -> set[str] | None:
        floor = self.report["proposal"]["floor"]
        return None if floor is None else {name.removeprefix("CAP_") for name in floor}

    def need(self, cap: str) -> dict[str, Any]:
        return next(n for n in self.report["needs"] if n["cap"] == f"CAP_{cap}")

    @property
    def programs(self) -> set[str]:
        return {check["program"] for check in self.report["recordings"][0]["checks"]}


def record(report: Path, *words: str, options: tuple[str, ...] = (), **popen: Any) -> Seen:
    """``capadvise run [options] -- words``, with what it saw."""
    done = subprocess.run(
        [CAPADVISE, "run", "-o", str(report), *options, "--", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        env=ENVIRONMENT,
        **popen,
    )
    content = json.loads(report.read_text()) if report.is_file() else {}
    return Seen(done.returncode, done.stderr, content)


def containers(engine: str, filters: str = f"name={MARK}") -> list[str]:
    """Names of the containers that are there, running or not."""
    words = ["ps", "--all", f"--filter={filters}", "--format={{.Names}}"]
    done = subprocess.run(
        [*CLIENTS[engine], *words], capture_output=True, text=True, env=ENVIRONMENT
    )
    return done.stdout.split()
