"""Reading the seccomp filters of a process: a program of its own, since that stops the process.

The program ``capadvise.kernel.posture.seccomp_filters PID`` prints the filters in hexadecimal,
oldest first, one a line, or a line that begins with ``error``. The process is seized, interrupted
for some microseconds, and goes on however this program ends; no signal is sent to it.
"""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

from capadvise.kernel import libc, uapi
from capadvise.kernel.own_programs import own_program
from capadvise.kernel.posture.cbpf import Program
from capadvise.model.errors import CannotObserve

_MOST = 64
_SECONDS = 10.0
_REASONS = {
    errno.EPERM: "it may not be traced: that needs root, and no other tracer",
    errno.EACCES: (
        "its filters may not be read: that needs SYS_ADMIN, and no seccomp filter on capadvise"
    ),
    errno.EIO: "this kernel does not show filters (CONFIG_CHECKPOINT_RESTORE)",
    errno.ESRCH: "it is gone",
}


def filters_of(pid: int) -> tuple[Program, ...]:
    """The filters of a process, which is stopped for a moment. Raises CannotObserve."""
    argv = [*own_program("capadvise.kernel.posture.seccomp_filters"), str(pid)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise CannotObserve(
            f"process {pid} did not stop to be read",
            hint="one that is paused, as by docker pause, cannot: end that, or leave --seccomp out",
        ) from error
    lines = done.stdout.splitlines()
    if done.returncode or any(line.startswith("error") for line in lines):
        said = lines[-1].removeprefix("error ") if lines else done.stderr.strip()[-200:]
        raise CannotObserve(f"the seccomp filter of process {pid} cannot be read: {said}")
    return tuple(Program.parse(bytes.fromhex(line)) for line in lines)


def main() -> None:
    """Run as a program."""
    pid = int(sys.argv[1])
    try:
        for raw in _read(pid):
            print(raw.hex())
    except OSError as error:
        print(f"error {_REASONS.get(error.errno or 0, error.strerror)}")


def _read(pid: int) -> Iterator[bytes]:
    libc.ptrace(uapi.PTRACE_SEIZE, pid)
    signal = 0
    try:
        libc.ptrace(uapi.PTRACE_INTERRUPT, pid)
        _, status = os.waitpid(pid, uapi.WALL)
        if not status >> 16:  # no event: it stopped with a signal in hand, which it is to get
            signal = status >> 8
        for index in range(_MOST):
            try:
                raw = libc.seccomp_filter(pid, index)
            except OSError as error:
                if error.errno == errno.ENOENT or (error.errno == errno.EINVAL and not index):
                    return  # no more, or none at all
                raise
            yield raw
    finally:
        with suppress(OSError):
            libc.ptrace(uapi.PTRACE_DETACH, pid, 0, signal)


if __name__ == "__main__":
    main()
