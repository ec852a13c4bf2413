"""All budgets of the design, each with what was measured and whether it is met, in one run.

    python -m tests.bench [--quick] [PART ...]     (root, on a quiet machine; without parts: all)

Parts: start, observing, retries, memory, screens, idle, watch, trials, growth. ``--quick`` repeats
less, leaves out the slowest peers, and takes at most 12 minutes. Other tools are measured in the
same run, beside it. It needs gcc make nginx-light apache2-utils strace bpftrace, and says so where
one is missing.

Ratios are the fastest run under a tool / the fastest without; "cpu" is the same of the load's
processor time, which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL

from capadvise.observe.ftrace import instances
from capadvise.observe.ftrace.tracefs import size_of_each
from tests.bench import growth, live, overhead, retry, scale, screens, watch
from tests.bench.loads import LOADS
from tests.support.runs import CAPADVISE
from tests.support.watching import watching


@dataclass(frozen=True, slots=True)
class Row:
    """One budget."""

    what: str
    budget: str
    measured: str
    met: bool | None
    """None: there is no budget, or it could not be measured."""
    beside: str = ""
    """What other tools take, in the same run."""

    def __str__(self) -> str:
        met = {True: "met", False: "**not met**", None: ""}[self.met]
        return f"| {self.what} | {self.budget} | {self.measured} | {met} | {self.beside} |"


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is repeated."""

    rounds: int
    starts: int
    retry_loads: tuple[str, ...]
    """Parts of their names; none: all."""
    peers: tuple[str, ...]
    checks: int
    watch_rounds: int


WHOLE = Effort(5, 20, (), ("bpftrace", "strace %file", "strace -f"), 10_000_000, 20)
QUICK = Effort(
    3,
    *(10, ("Python starts", "tar", "open", "chown", "processor"), ("bpftrace", "strace %file")),
    *(2_000_000, 5),
)
OBSERVING = {
    "fork+exec in a shell": 1.05,
    "stat and open": 1.02,
    "mmap+munmap": 1.2,
    "make -j2, 30 C files": 1.05,
    "nginx, 9,000 requests": 1.05,
    "50 threads that open": 1.05,
    "sqlite, 15,000 commits": 1.05,
}
"""The most that a load may take, in the words of the design: `README.md` may ask for less."""
PROCESSORS = (1, 2, 8, 64, 128, 512)
TRIALS = {
    "chown": ["sh", "-c", "rm -f f && touch f && chown 1 f"],
    "a port": [
        sys.executable,
        "-c",
        "import socket; s = socket.socket(); s.bind(('127.0.0.1', 81)); s.listen()",
    ],
    "another user": ["setpriv", "--reuid", "1", "--regid", "1", "--clear-groups", "true"],
}
"""Programs that are proven, by what they need."""


def _within(what: str, unit: str, budget: float, measured: float, beside: str = "") -> Row:
    met = measured <= budget
    return Row(what, f"{budget:g} {unit}", f"{measured:.3g} {unit}", met, beside)


# ---------------------------------------------------------------------- starting


def start(effort: Effort) -> Iterator[Row]:
    """How long it takes until something happens."""
    times = sorted(overhead.before_exec(effort.starts))
    yield _within(
        "start-up of `run` until the target's exec, median",
        *("ms", 100, statistics.median(times) * 1000, f"fastest {times[0] * 1000:.0f} ms"),
    )
    with tempfile.TemporaryDirectory() as name:
        report = _report(Path(name))
        compose = Path(name, "compose.yaml")
        compose.write_text("services: {web: {image: web, cap_add: [CHOWN]}}\n")
        for words in (
            ["explain", "CHOWN"],
            ["explain", report],
            ["emit", report, "--format", "docker"],
            ["check", str(compose)],
        ):
            shown = " ".join(Path(word).name for word in words)
            took = [_seconds([CAPADVISE, *words]) for _ in range(effort.starts)]
            yield _within(f"`{shown}`, median", "ms", 100, statistics.median(took) * 1000)
        for argv, wanted in (
            ([CAPADVISE, "review", report], b"CHOWN"),
            ([CAPADVISE, "run", "-o", f"{name}/x.json", "--", "sleep", "60"], b"starting"),
        ):
            first = screens.first_frames(argv, Path(name), wanted)
            yield _within(f"first frame of `{argv[1]}`, median", "ms", 300, first * 1000)


def _report(folder: Path) -> str:
    path = folder / "r.json"
    argv = [CAPADVISE, "run", "-q", "-o", str(path), "--", "sh", "-c", "touch f; chown 1 f"]
    subprocess.run(argv, cwd=folder, check=True)
    return str(path)


def _seconds(argv: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(
        argv, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
    )  # the gate's status is its answer
    return time.perf_counter() - began


# ---------------------------------------------------------------------- observing and retrying


def observing(effort: Effort) -> Iterator[Row]:
    """The loads of the README, beside other tools."""
    wanted = ("capadvise", *effort.peers)
    tools = [name for name in wanted if overhead.works(overhead.TOOLS[name])]
    if missing := sorted(set(wanted) - set(tools)):
        print(f"not here: {', '.join(missing)}")
    starts = {name: overhead.start_up(overhead.TOOLS[name], effort.rounds) for name in tools}
    for load in LOADS:
        budget = OBSERVING.get(load.name, 1.05)
        try:
            found = overhead.times(load, starts, effort.rounds)
        except (OSError, subprocess.CalledProcessError) as error:
            yield Row(load.name, f"{budget} ×", f"did not run: {error}", None)
            continue
        ratio, cpu = _ratio(found["capadvise"])
        beside = ", ".join(f"{name} {_ratio(found[name])[0]:.3g} ×" for name in tools[1:])
        shown = f"{ratio:.2f} ×, cpu {cpu:.2f}"
        yield Row(load.name, f"{budget} ×", shown, ratio <= budget, beside)


def _ratio(rounds: Sequence[overhead.Round]) -> tuple[float, float]:
    """Of the fastest runs, and of the load's processor time."""
    wall = min(one.under for one in rounds) / min(one.native for one in rounds)
    return wall, min(one.used for one in rounds) / min(one.native_used for one in rounds)


def retries(effort: Effort) -> Iterator[Row]:
    """`run --retry`, beside strace."""
    rounds = max(2, effort.rounds // 2)
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory() as files:
        retry.foreign_files(files)
        for load, (command, base) in retry.loads(files).items():
            if effort.retry_loads and not any(word in load for word in effort.retry_loads):
                continue
            best = retry.fastest(command, scratch, rounds)
            native = best["native"]
            beside = f"strace %file {best['strace'] / native:.3g} × native"
            budget = retry.BUDGETS[base]
            measured = f"{best['retry'] / best[base]:.2f} × {base}"
            met = best["retry"] / best[base] <= budget
            shown = f"{measured} ({best['retry'] / native:.3g} × native)"
            yield Row(f"--retry: {load}", f"{budget} × {base}", shown, met, beside)


# ---------------------------------------------------------------------- memory


def memory(effort: Effort) -> Iterator[Row]:
    """Of the supervisor, and of the trace buffers."""
    with tempfile.TemporaryDirectory() as folder:
        most = scale.recorded(effort.checks, Path(folder))
    yield _within(f"supervisor after {effort.checks:,} checks", "MB", 60, most)
    of_all = {
        count: sum(size_of_each(kb, count) for kb in instances.SIZES_KB) * count / 1024
        for count in PROCESSORS
    }
    shown = ", ".join(f"{mb:.0f} MB on {count}" for count, mb in of_all.items())
    most = max(of_all.values())
    yield _within("trace buffers, at most", "MB", 64, most, f"by processors: {shown}")


# ---------------------------------------------------------------------- screens, watching, trials


def screen(_: Effort) -> Iterator[Row]:
    """Keys while much happens."""
    with tempfile.TemporaryDirectory() as folder:
        slowest = asyncio.run(live.measure(10_000, 10, Path(folder)))
    yield _within("slowest key at 10,000 checks a second", "ms", 50, slowest)


def idle(_: Effort) -> Iterator[Row]:
    """What is taken of a processor while nothing happens."""
    with tempfile.TemporaryDirectory() as folder:
        taken = screens.idle(Path(folder))
    yield _within("live screen over an idle target", "% of a core", 1, taken)
    target = subprocess.Popen(["sleep", "100"])
    argv = [CAPADVISE, "attach", "-q", "--for", "60", "-o", "/dev/null", str(target.pid)]
    attached = subprocess.Popen(argv, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
    try:
        yield _within("`attach` to an idle target", "% of a core", 1, _taken(attached.pid))
    finally:
        for process in (attached, target):
            process.terminate()
            process.wait()
    with watching("--json") as watch_:
        yield _within("`watch` of an idle machine", "% of a core", 1, _taken(watch_.process.pid))


def _taken(pid: int, seconds: float = 15) -> float:
    """Percent of a processor that a process takes, once it has begun."""
    time.sleep(3)
    before = growth.spent(pid)
    time.sleep(seconds)
    return (growth.spent(pid) - before) / seconds * 100


def watched(effort: Effort) -> Iterator[Row]:
    """What a watch costs the machine."""
    for load in ("mmap", "open"):
        ratio = watch.throughput(load, effort.watch_rounds)
        yield Row(f"watch: {load}, processor time", "1.01 ×", f"{ratio:.3f} ×", ratio <= 1.01)
    with watching("--json") as one:
        taken = watch.processor(one)
    yield _within("watch of 10,000 refusals a second", "% of a core", 1, taken)


def trials(_: Effort) -> Iterator[Row]:
    """How many are run until the minimal set is known."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "r.json")
        for what, command in TRIALS.items():
            quiet = {"cwd": name, "stdin": -3, "stdout": -3, "stderr": -3}
            argv = [CAPADVISE, "run", "-q", "-o", str(path)]
            subprocess.run([*argv, "--", *command], check=True, **quiet)  # type: ignore[call-overload]
            before = len(json.loads(path.read_text())["proposal"]["recommended"])
            began = time.perf_counter()
            subprocess.run([CAPADVISE, "prove", "-o", str(path), str(path)], **quiet)  # type: ignore[call-overload]
            took = time.perf_counter() - began
            proof = json.loads(path.read_text())["proof"]
            made, most = len(proof["trials"]), 3 + 2 * before
            shown = f"{made}, in {took:.1f} s"
            yield Row(f"trials: {what}", f"3 + 2 × {before} = {most}", shown, made <= most)


def growing(_: Effort) -> Iterator[Row]:
    """Ten times the work."""
    for part in growth.PARTS.values():
        for one in part():
            work, cost = f"{one.small:,} → {one.large:,}", f"{one.factor:.1f} × cost"
            seconds = f"{one.before.cpu:.2f} → {one.after.cpu:.2f} s"
            shown = f"{cost} ({seconds}, {one.after.memory:.0f} MB at most)"
            yield Row(f"{one.name}: {work}", f"{growth.MOST:g} × cost", shown, one.met)


PARTS: dict[str, Callable[[Effort], Iterator[Row]]] = {
    "start": start,
    "observing": observing,
    "retries": retries,
    "memory": memory,
    "screens": screen,
    "idle": idle,
    "watch": watched,
    "trials": trials,
    "growth": growing,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="at most 12 minutes")
    given = parser.parse_args()
    if unknown := set(given.parts) - PARTS.keys():
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if os.geteuid() != 0:
        parser.error("needs root")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed capadvise is compiled
    subprocess.run([CAPADVISE, "--version"], check=True, stdout=DEVNULL)
    began = time.monotonic()
    print(f"{os.uname().release}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}\n")
    print("| what | budget | measured | | beside it |\n| --- | --- | --- | --- | --- |", flush=True)
    met = []
    for name in given.parts or PARTS:
        with redirect_stdout(sys.stderr):  # what the single benchmarks say
            rows = PARTS[name](QUICK if given.quick else WHOLE)
        while True:
            with redirect_stdout(sys.stderr):
                row = next(rows, None)
            if row is None:
                break
            met.append(row.met)
            print(row, flush=True)
    minutes = (time.monotonic() - began) / 60
    load = f"load {os.getloadavg()[0]:.1f} at the end"
    print(f"\n{met.count(True)} met, {met.count(False)} not; {minutes:.1f} minutes, {load}")


if __name__ == "__main__":
    main()
