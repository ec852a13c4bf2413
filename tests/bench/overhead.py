"""What observing costs, beside what people would use instead: ratios to native, from one run.

Usage: overhead.py [ROUNDS] [LOAD …]   (root; gcc make nginx-light apache2-utils strace bpftrace)

In each round the tools run one after the other on the same load, each beside a native run. A number
is the fastest time under the tool / the fastest native time, which other work on the machine
disturbs least; in brackets, the least and the most of a round; "cpu" is the same of the processor
time of the load alone, which it disturbs less still. What starting and ending costs the tool on
`true` is left out and stands in a line of its own. Tools that are many times slower get a tenth of
the load.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench.loads import LOADS, Load

CAPADVISE = str(Path(sys.executable).with_name("capadvise"))
COUNT = "tracepoint:capability:cap_capable { @[comm, args.cap, kstack] = count(); }"
MOUNTED = [
    *("unshare", "--mount", "sh", "-c"),
    'mountpoint -q /sys/kernel/tracing || mount -t tracefs none /sys/kernel/tracing; exec "$@"',
    "sh",
]
"""bpftrace needs tracefs where it belongs: in mounts of its own, if it is not there."""
START_BUDGET = 0.150
"""Seconds until the target runs."""
SLOW = 0.1
"""The part of a load that slow tools get."""

Wrap = Callable[[list[str]], list[str]]


def _capadvise(*options: str) -> Wrap:
    return lambda argv: [CAPADVISE, "run", "-q", "-o", "/dev/null", *options, "--", *argv]


def _strace(*options: str) -> Wrap:
    return lambda argv: ["strace", "-f", "-o", "/dev/null", *options, *argv]


def _script(argv: list[str]) -> str:
    """bpftrace splits what it is to run at spaces, whatever their quotes."""
    path = Path(tempfile.gettempdir()) / f"overhead-{os.getpid()}"
    path.write_text(f"exec {shlex.join(argv)}\n")
    return f"/bin/sh {path}"


TOOLS: dict[str, Wrap] = {
    "observer": _capadvise(),
    "with --retry": _capadvise("--retry"),
    "bpftrace": lambda argv: [*MOUNTED, "bpftrace", "-q", "-c", _script(argv), "-e", COUNT],
    "strace %file": _strace("--seccomp-bpf", "-e", "trace=%file"),
    "strace -f": _strace(),
}
SLOW_TOOLS = ("with --retry", "strace %file", "strace -f")


def seconds(command: list[str]) -> float:
    """Wall time of one run."""
    begin = time.perf_counter()
    subprocess.run(
        command,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - begin


def works(wrap: Wrap) -> bool:
    """Whether the tool is there, and runs here."""
    command = wrap(["true"])
    quiet = subprocess.DEVNULL
    return bool(shutil.which(command[0])) and not subprocess.call(
        command, stdin=quiet, stdout=quiet, stderr=quiet
    )


def settle() -> None:
    """Give the guardian of the last run time to remove its buffers, which holds a kernel lock."""
    time.sleep(0.6)


def start_up(wrap: Wrap, rounds: int) -> float:
    """What a tool adds to a program that does nothing, in seconds, its end included."""
    added = []
    for _ in range(rounds):
        settle()
        native = seconds(["true"])
        added.append(seconds(wrap(["true"])) - native)
    return min(added)


def before_exec(rounds: int) -> list[float]:
    """Seconds from the call of capadvise until its target runs, of each round."""
    taken = []
    for _ in range(rounds):
        settle()
        begin = time.time()
        argv = TOOLS["observer"](["date", "+%s.%N"])
        done = subprocess.run(argv, check=True, capture_output=True, text=True)
        taken.append(float(done.stdout) - begin)
    return taken


TIMED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdin=-3, stdout=-3, stderr=-3)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print("used", used.ru_utime + used.ru_stime)
"""


def timed(command: list[str], wrap: Wrap | None = None) -> tuple[float, float]:
    """Wall time of one run, and the processor time of the command."""
    command = [sys.executable, "-S", "-c", TIMED, *command]
    begin = time.perf_counter()
    done = subprocess.run(
        wrap(command) if wrap else command,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        errors="replace",
    )
    wall = time.perf_counter() - begin
    return wall, float(done.stdout.partition("used ")[2].split()[0])


Times = list[tuple[float, float, float, float]]
"""Seconds under a tool and natively, and of processor time likewise, a round each."""


def times(load: Load, starts: dict[str, float], rounds: int) -> dict[str, Times]:
    """Tool → what was measured."""
    found: dict[str, Times] = {name: [] for name in starts}
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(rounds):
            for name, start in starts.items():
                command = load.command(Path(scratch), SLOW if name in SLOW_TOOLS else 1.0)
                settle()
                native, natively = timed(command)
                wall, used = timed(command, TOOLS[name])
                found[name].append((wall - start, native, used, natively))
    return found


def cell(load: Load, name: str, found: Times) -> str:
    """A ratio with its spread and, where there is a budget, whether it is met."""
    under, native, used, natively = (min(column) for column in zip(*found, strict=True))
    ratio = under / native
    each = [under / native for under, native, *_ in found]
    text = f"{ratio:.2f} ({min(each):.2f}-{max(each):.2f}), cpu {used / natively:.2f}"
    if name in load.budgets:
        text += " met" if ratio <= load.budgets[name] else f" NOT MET {load.budgets[name]}"
    return text


def main() -> None:
    words = sys.argv[1:]
    rounds = int(words.pop(0)) if words and words[0].isdecimal() else 5
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed capadvise is compiled
    seconds([CAPADVISE, "--version"])
    chosen = [load for load in LOADS if not words or any(word in load.name for word in words)]
    tools = [name for name in TOOLS if works(TOOLS[name])]
    starts = {name: start_up(TOOLS[name], 3 * rounds) for name in tools}
    begins = min(before_exec(3 * rounds))
    met = "met" if begins <= START_BUDGET else "NOT MET"
    print(f"the target runs after {begins * 1000:.0f} ms; budget 150 ms: {met}\n")
    print("| load |", " | ".join(tools), "|")
    print("| --- |" + " --- |" * len(tools))
    print("| starting and ending, ms |", " | ".join(f"{starts[t] * 1000:.0f}" for t in tools), "|")
    for load in chosen:
        found = times(load, starts, rounds)
        print(
            f"| {load.name} |", " | ".join(cell(load, t, found[t]) for t in tools), "|", flush=True
        )


if __name__ == "__main__":
    main()
