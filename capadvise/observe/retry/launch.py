"""The guardian's part: starting the tracer, mapping the target's user namespace, sending its
filter.

The standard library alone: this runs in the launcher, too, beside python-prctl.
"""

import errno
import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any


def start_tracer(plan: dict[str, Any], target: int, fds: Iterable[int]) -> dict[str, Any]:
    """Start the tracer on the held target; its answer: ``{"filter": hexadecimal text}``, or
    ``{"failed": text}``. ``fds``: descriptors that the trace buffers depend on."""
    plan_read, plan_write = os.pipe()
    answer_read, answer_write = os.pipe()
    report = int(plan["report"])
    if os.fork() == 0:
        try:
            for fd in (plan_read, answer_write, report, *fds):
                os.set_inheritable(fd, True)
            program = os.path.join(os.path.dirname(__file__), "tracer.py")
            pipes = [str(fd) for fd in (plan_read, answer_write, report)]
            os.execv(sys.executable, [sys.executable, "-I", "-S", program, *pipes, *plan["path"]])
        finally:  # it must not go on as the guardian
            os._exit(127)
    for fd in (plan_read, answer_write, report):
        os.close(fd)
    with suppress(BrokenPipeError), open(plan_write, "w", encoding="utf-8") as file:
        json.dump({**plan["tracer"], "pid": target}, file)
    with open(answer_read, encoding="utf-8") as file:
        line = file.readline()
    answer: dict[str, Any] = json.loads(line) if line else {"failed": "start the tracer"}
    return answer


def send_filter(fd: int, code: bytes) -> None:
    """Let the target go on, with a filter to install before its exec; it may be empty. If the
    target was killed while it was held, nobody reads: its end is reported like any other."""
    data = b"g" + len(code).to_bytes(4, "little") + code
    with suppress(BrokenPipeError):
        while data:
            data = data[os.write(fd, data) :]


def read_filter(fd: int) -> bytes:
    """The filter that follows the word to go on. Raises OSError if the guardian ends before it has
    sent it."""
    size = int.from_bytes(os.read(fd, 4), "little")
    code = b""
    while len(code) < size:
        more = os.read(fd, size - len(code))
        if not more:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        code += more
    return code


def map_ids(pid: int, maps: dict[str, list[list[int]]]) -> str:
    """Map ids into a process's new user namespace; returns the error as a text, empty if there was
    none."""
    for kind in ("gid", "uid"):
        ranges = maps[kind]
        if len(ranges) > 1:
            words = [str(number) for entry in ranges for number in entry]
            import subprocess  # here, for the sake of the start-up of every other run

            done = subprocess.run(
                [f"new{kind}map", str(pid), *words], capture_output=True, text=True, check=False
            )
            if done.returncode:
                return f"new{kind}map: {done.stderr.strip()}"
            continue
        try:
            if kind == "gid":  # without it an ordinary user may not map a group
                with open(f"/proc/{pid}/setgroups", "w", encoding="utf-8") as file:
                    file.write("deny")
            with open(f"/proc/{pid}/{kind}_map", "w", encoding="utf-8") as file:
                file.write(" ".join(map(str, ranges[0])))
        except OSError as error:
            return f"{kind}_map: {error.strerror}"
    return ""
