"""What observing costs, beside what people would use instead: ratios to native, from one run.

Root; gcc make nginx-light apache2-utils strace bpftrace. Two minutes for each load with
``--tools capadvise``, ten with all.

In each round the tools run one after the other on the same load, each beside a native run. A number
is the fastest time under the tool / the fastest native time, which other work on the machine
disturbs least; in brackets, the least and the most of a round; "cpu" is the same of the processor
time of the load alone, which it disturbs less still; "own" is the processor time that capadvise
takes itself, in parts of the load's. What starting and ending costs the tool on `true` is left out
of them and stands in a line of its own. Tools that are many times slower get a tenth of the load.
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
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
START_BUDGET = 0.100
"""Seconds until the target runs."""
SLOW = 0.1
"""The part of a load that slow tools get."""

Wrap = Callable[[list[str]], list[str]]


def _capadvise(*options: str, program: str = CAPADVISE) -> Wrap:
    return lambda argv: [program, "run", "-q", "-o", "/dev/null", *options, "--", *argv]


def _strace(*options: str) -> Wrap:
    return lambda argv: ["strace", "-f", "-o", "/dev/null", *options, *argv]


def _script(argv: list[str]) -> str:
    """bpftrace splits what it is to run at spaces, whatever their quotes."""
    path = Path(tempfile.gettempdir()) / f"overhead-{os.getpid()}"
    path.write_text(f"exec {shlex.join(argv)}\n")
    return f"/bin/sh {path}"


TOOLS: dict[str, Wrap] = {
    "capadvise": _capadvise(),
    "capadvise --retry": _capadvise("--retry"),
    "bpftrace": lambda argv: [*MOUNTED, "bpftrace", "-q", "-c", _script(argv), "-e", COUNT],
    "strace %file": _strace("--seccomp-bpf", "-e", "trace=%file"),
    "strace -f": _strace(),
}
SLOW_TOOLS = ("capadvise --retry", "strace %file", "strace -f")


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


def start_up(wrap: Wrap, rounds: int) -> tuple[float, float]:
    """What a tool adds to a program that does nothing, in seconds, its end included; and the
    processor time of the tool."""
    added, own = [], []
    for _ in range(rounds):
        settle()
        native = seconds(["true"])
        before = processor_time()
        added.append(seconds(wrap(["true"])) - native)
        own.append(processor_time() - before)
    return min(added), min(own)


def before_exec(rounds: int) -> list[float]:
    """Seconds from the call of capadvise until its target runs, of each round."""
    taken = []
    for _ in range(rounds):
        settle()
        begin = time.time()
        argv = TOOLS["capadvise"](["date", "+%s.%N"])
        done = subprocess.run(argv, check=True, capture_output=True, text=True)
        taken.append(float(done.stdout) - begin)
    return taken


TIMED = """
import resource, subprocess, sys
null = subprocess.DEVNULL
subprocess.run(sys.argv[1:], check=True, stdin=null, stdout=null, stderr=null)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print("used", used.ru_utime + used.ru_stime)
"""


def processor_time() -> float:
    """Of all that was started here and waited for. A target of capadvise is not among them: the
    guardian waits for it, for which nobody does."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclass(frozen=True)
class Round:
    """Seconds, of one run natively and one under a tool."""

    native: float
    under: float
    native_used: float
    used: float
    """Processor time of the load."""
    own: float
    """That of capadvise."""


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


def times(
    load: Load, starts: dict[str, tuple[float, float]], rounds: int
) -> dict[str, list[Round]]:
    """Tool → what was measured."""
    found: dict[str, list[Round]] = {name: [] for name in starts}
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(rounds):
            for name, (start, own) in starts.items():
                command = load.command(Path(scratch), SLOW if name in SLOW_TOOLS else 1.0)
                settle()
                native, native_used = timed(command)
                before = processor_time()
                wall, used = timed(command, TOOLS[name])
                own = processor_time() - before - own
                found[name].append(Round(native, wall - start, native_used, used, own))
    return found


def cell(load: Load, name: str, rounds: list[Round]) -> str:
    """A ratio with its spread and, where there is a budget, whether it is met."""
    ratio = min(one.under for one in rounds) / min(one.native for one in rounds)
    each = [one.under / one.native for one in rounds]
    native_used = min(one.native_used for one in rounds)
    used = min(one.used for one in rounds) / native_used
    text = f"{ratio:.2f} ({min(each):.2f}-{max(each):.2f}), cpu {used:.2f}"
    if name.startswith("capadvise"):
        text += f", own {min(one.own for one in rounds) / native_used:.2f}"
    if name in load.budgets:
        text += " met" if ratio <= load.budgets[name] else f" NOT MET {load.budgets[name]}"
    return text


def arguments() -> argparse.Namespace:
    """What is to be measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rounds", nargs="?", type=int, default=5)
    parser.add_argument("loads", nargs="*", metavar="LOAD", help="a part of a load's name")
    parser.add_argument("--tools", default=",".join(TOOLS), help="separated by commas")
    beside = "also the capadvise of another checkout, in whose .venv it is; more than once, too"
    parser.add_argument("--beside", metavar="FOLDER", action="append", default=[], help=beside)
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    rounds, words = asked.rounds, asked.loads
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed capadvise is compiled
    others = {f"capadvise of {tree}": f"{tree}/.venv/bin/capadvise" for tree in asked.beside}
    for program in (CAPADVISE, *others.values()):
        seconds([program, "--version"])
    TOOLS.update({name: _capadvise(program=program) for name, program in others.items()})
    chosen = [load for load in LOADS if not words or any(word in load.name for word in words)]
    tools = [name for name in (*asked.tools.split(","), *others) if works(TOOLS[name])]
    starts = {name: start_up(TOOLS[name], 3 * rounds) for name in tools}
    begins = min(before_exec(3 * rounds))
    met = "met" if begins <= START_BUDGET else "NOT MET"
    budget = f"budget {START_BUDGET * 1000:.0f} ms: {met}"
    print(f"the target runs after {begins * 1000:.0f} ms; {budget}\n")
    print("| load |", " | ".join(tools), "|")
    print("| --- |" + " --- |" * len(tools))
    added = (f"{wall * 1000:.0f}" for wall, _ in starts.values())
    print("| starting and ending, ms |", " | ".join(added), "|")
    for load in chosen:
        found = times(load, starts, rounds)
        print(
            f"| {load.name} |", " | ".join(cell(load, t, found[t]) for t in tools), "|", flush=True
        )


if __name__ == "__main__":
    main()
