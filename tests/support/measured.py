"""Coverage of each process of ours while ``tests/coverage`` runs; a line of a .pth file calls it.

The product knows nothing of it. coverage measures forked children by itself; it is started here
for programs, also for those that are started without ``site``, and saved before an exec.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

VARIABLE = "CAPADVISE_COVERAGE"
"""The configuration of coverage, in the environment."""
PACKAGE = Path(__file__).parents[2] / "capadvise"
WITHOUT_SITE = ("launcher.py", "tracer.py")


def start() -> None:
    """Measure this process if it is one of ours: a target that is a Python program is not."""
    if not ours(sys.orig_argv[1:]):
        return
    import subprocess

    import coverage

    os.environ["COVERAGE_PROCESS_START"] = os.environ[VARIABLE]
    measuring = coverage.process_startup()
    del os.environ["COVERAGE_PROCESS_START"]  # what we start decides for itself
    if measuring is None:
        return

    begin = subprocess.Popen.__init__

    def begin_with_site(self: Any, args: Any, *more: Any, **options: Any) -> None:
        begin(self, with_site(args), *more, **options)

    subprocess.Popen.__init__ = begin_with_site  # type: ignore[method-assign]
    for name in ("execv", "execve"):
        setattr(os, name, _saving(getattr(os, name)))


def _saving(execute: Any) -> Any:
    import coverage

    def save_and_execute(path: Any, argv: Any, *environment: Any) -> None:
        with suppress(Exception):  # a target that has no rights left starts all the same
            if measuring := coverage.Coverage.current():
                measuring.save()
        execute(path, with_site(argv), *environment)

    return save_and_execute


def ours(words: Sequence[str]) -> bool:
    """Whether an interpreter with these arguments runs capadvise or its tests."""
    options = [word for word in words if word.startswith("-")]
    if "-m" in options:
        return words[words.index("-m") + 1].split(".")[0] in ("capadvise", "pytest")
    script = next((Path(word) for word in words if not word.startswith("-")), None)
    if script is None or "-c" in options[:3]:
        return False
    return PACKAGE in script.parents or (
        script.parent.name == "bin" and script.name in ("capadvise", "pytest")
    )


def with_site(argv: Any) -> Any:
    """The same command; an interpreter that runs a program of ours reads .pth files."""
    if isinstance(argv, list | tuple) and any(
        str(word).endswith(WITHOUT_SITE) for word in argv[:4]
    ):
        return [word for word in argv if word != "-S"]
    return argv
