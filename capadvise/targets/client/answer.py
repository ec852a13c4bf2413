"""Running another program for its output: the client of an engine, or a tool."""

import os
import resource
import signal
import subprocess
from collections.abc import Mapping, Sequence

from capadvise.model.errors import CapadviseError


class NoAnswer(CapadviseError):
    """The program cannot be started, or fails; the message is the last line that it wrote."""


MEMORY = 1 << 30
"""Bytes for a program that reads the user's files; one of these can be endless."""


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
    memory: int = 0,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end. ``name``: what messages call it; ``given``: its standard input;
    ``environment``: more variables; ``memory``: the most that it may take, if it needs no terminal
    (plugins of docker outlive their client, so both are ended together). Raises NoAnswer."""
    try:
        with subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            cwd=folder,
            env={**os.environ, **(environment or {})},
            process_group=0 if memory else None,
        ) as process:
            try:
                if memory:
                    resource.prlimit(process.pid, resource.RLIMIT_DATA, (memory, memory))
                output, errors = process.communicate(given, timeout=seconds)
            except BaseException:
                if memory:
                    os.killpg(process.pid, signal.SIGKILL)
                process.kill()
                raise
    except subprocess.TimeoutExpired as error:
        raise TooLate(f"{name}: did not answer within {seconds:g} s") from error
    except OSError as error:
        raise NoAnswer(f"{argv[0]}: {error.strerror}") from error
    if process.returncode:
        too_much = memory and "out of memory" in errors
        why = f"it needs more than {memory >> 20} MiB" if too_much else last_line(errors)
        raise NoAnswer(f"{name}: {why or 'it failed'}")
    return subprocess.CompletedProcess(argv, 0, output, errors)


def last_line(text: str) -> str:
    """The last line of a client's output that says what is wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("See '")]
    return lines[-1] if lines else ""
