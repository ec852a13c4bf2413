"""What observing costs, beside what people would use instead: ratios to native, from one run.

Usage: overhead.py [ROUNDS] [LOAD …]   (root; gcc make nginx-light apache2-utils strace bpftrace)

In each round the tools run one after the other on the same load, so that a busy machine slows them
alike. A number is the median over the rounds of time under the tool / native time; what starting
and ending costs the tool on `true` is left out of both and stands in a line of its own. Tools that
are many times slower get a tenth of the load, once.
"""

from __future__ import annotations

import os
import shlex
import shutil
import statistics
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
"""Seconds that `run -- true` may add."""
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
SLOW_TOOLS = ("strace %file", "strace -f")


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
    """What a tool adds to a program that does nothing, in seconds."""
    added = []
    for _ in range(rounds):
        settle()
        native = seconds(["true"])
        added.append(seconds(wrap(["true"])) - native)
    return statistics.median(added)


def ratios(load: Load, starts: dict[str, float], rounds: int) -> dict[str, list[float]]:
    """Tool → time under it / native time, a round each."""
    found: dict[str, list[float]] = {name: [] for name in starts}
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(rounds):
            for name, start in starts.items():
                if name in SLOW_TOOLS and number:
                    continue
                command = load.command(Path(scratch), SLOW if name in SLOW_TOOLS else 1.0)
                settle()
                native = seconds(command)
                found[name].append((seconds(TOOLS[name](command)) - start) / native)
    return found


def cell(load: Load, name: str, found: list[float]) -> str:
    """A ratio with its spread and, where there is a budget, whether it is met."""
    if not found:
        return "-"
    middle = statistics.median(found)
    text = f"{middle:.2f}"
    if len(found) > 1:
        text += f" ({min(found):.2f}-{max(found):.2f})"
    if name in load.budgets:
        text += " met" if middle <= load.budgets[name] else f" NOT MET {load.budgets[name]}"
    return text


def main() -> None:
    words = sys.argv[1:]
    rounds = int(words.pop(0)) if words and words[0].isdecimal() else 5
    chosen = [load for load in LOADS if not words or any(word in load.name for word in words)]
    tools = [name for name in TOOLS if works(TOOLS[name])]
    starts = {name: start_up(TOOLS[name], 3 * rounds) for name in tools}
    met = "met" if starts["observer"] <= START_BUDGET else "NOT MET"
    print(f"`run -- true` adds {starts['observer'] * 1000:.0f} ms; budget 150 ms: {met}\n")
    print("| load |", " | ".join(tools), "|")
    print("| --- |" + " --- |" * len(tools))
    print("| starting and ending, ms |", " | ".join(f"{starts[t] * 1000:.0f}" for t in tools), "|")
    for load in chosen:
        found = ratios(load, starts, rounds)
        print(
            f"| {load.name} |", " | ".join(cell(load, t, found[t]) for t in tools), "|", flush=True
        )


if __name__ == "__main__":
    main()
