"""Running another program for its output: the client of an engine, or a tool."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from capadvise.model.errors import CapadviseError


class NoAnswer(CapadviseError):
    """The program cannot be started, or fails; the message is the last line that it wrote."""


class TooLate(NoAnswer):
    """It takes too long."""


def answer_of(
    argv: Sequence[str],
    name: str,
    seconds: float,
    *,
    given: str = "",
    folder: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end. ``name``: what messages call it; ``given``: its standard input;
    ``environment``: more variables. Raises NoAnswer."""
    try:
        done = subprocess.run(
            argv,
            input=given,
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=seconds,
            cwd=folder,
            env={**os.environ, **(environment or {})},
        )
    except subprocess.TimeoutExpired as error:
        raise TooLate(f"{name}: did not answer within {seconds:g} s") from error
    except OSError as error:
        raise NoAnswer(f"{argv[0]}: {error.strerror}") from error
    if done.returncode:
        raise NoAnswer(f"{name}: {last_line(done.stderr) or 'it failed'}")
    return done


def last_line(text: str) -> str:
    """The last line of a client's output that says what is wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("See '")]
    return lines[-1] if lines else ""
