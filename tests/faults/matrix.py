"""The fault matrix: ``python -m tests.faults.matrix [ROUNDS [WORD]]`` prints a row for each fault.

Each row: how often it was tried, and how often something was left over or lost. Ends with 1 where
any was. ROUNDS is how often each kind of run is killed, 200 without. WORD: only the rows that have
it in their name.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.faults import pod_kills, unit_kills
from tests.faults.kills import KINDS, kill_once, suspend, turn_back
from tests.support.containers import CLIENTS, box_images
from tests.support.guest import booted
from tests.support.pods import node

_TESTS = {
    "disk full, folder gone, no files": ("test_reports.py", "test_places.py"),
    "hidden in another pid namespace": ("test_cgroup.py",),
    "in the middle of a proof": ("test_proofs.py",),
    "engine killed": ("test_engine.py",),
    "guardian stopped by the target": ("test_stopped.py",),
    "no streams, descriptors, memory": ("test_odd_starts.py",),
    "hostile targets": ("test_targets.py",),
    "a unit at each moment of its change": ("../units/test_kills.py", "../units/test_hostile.py"),
}
_SLEEPS, _BACK = 30.0, 3600.0


Row = tuple[str, Sequence[Callable[[], None]]]


def main(rounds: int, word: str = "") -> int:
    """Try everything; 1 where something went wrong."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell has it ignored
    print(f"{'fault':36} {'tried':>6} {'left or lost':>13}", flush=True)
    with tempfile.TemporaryDirectory() as name, _images(Path(name)), ExitStack() as machines:
        kills = list(_kills(Path(name), rounds, machines, word))
        with ThreadPoolExecutor(len(kills) or 1) as pool:  # most of the time, they wait
            bad = sum(pool.map(_row, kills))
        bad += sum(_row(row) for row in _machine_faults(Path(name)) if word in row[0])
    for fault, files in _TESTS.items():
        bad += _tested(fault, files) if word in fault else 0
    return 1 if bad else 0


@contextmanager
def _images(folder: Path) -> Iterator[None]:
    yield from box_images(folder)


def _kills(folder: Path, rounds: int, machines: ExitStack, word: str) -> Iterator[Row]:
    """A row for each kind of run; one after the other within it, as each has its own machine, which
    is started only where the row has the word in its name."""

    def row(name: str, prepare: Callable[[str], Callable[[int, Path], None]]) -> Iterator[Row]:
        def attempt(number: int) -> Callable[[], None]:
            return lambda: kill(number, Path(tempfile.mkdtemp(dir=folder)))

        if word in (fault := f"kill -9: {name}"):
            kill = prepare(name)
            yield fault, [attempt(number) for number in range(rounds)]

    def in_guest(name: str) -> Callable[[int, Path], None]:
        return partial(unit_kills.kill_once, machines.enter_context(booted()), name)

    def in_pod(_: str) -> Callable[[int, Path], None]:
        pod = machines.enter_context(pod_kills.watched(machines.enter_context(node())))
        return partial(pod_kills.kill_once, *pod)

    for name in KINDS:
        yield from row(name, lambda name: partial(kill_once, name))
    for name in unit_kills.KINDS:
        yield from row(name, in_guest)
    yield from row("pod", in_pod)


def _machine_faults(folder: Path) -> Iterator[Row]:
    def row(fault: str, disturb: Callable[[str, float, Path], None], name: str, by: float) -> Row:
        return f"{fault}: {name}", [lambda: disturb(name, by, Path(tempfile.mkdtemp(dir=folder)))]

    for name in KINDS:
        if "prove" not in name and name not in CLIENTS:
            yield row(f"{_SLEEPS:.0f} s stopped", suspend, name, _SLEEPS)
            yield row("clock set back", turn_back, name, _BACK)


def _row(row: Row) -> int:
    """Print it; how much went wrong."""
    fault, tries = row
    bad = 0
    for attempt in tries:
        try:
            attempt()
        except (AssertionError, subprocess.SubprocessError) as error:
            bad += 1
            traceback.print_exception(error)
    print(f"{fault:36} {len(tries):6} {bad:13}", flush=True)
    return bad


def _tested(fault: str, files: tuple[str, ...]) -> int:
    folder = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", *(str(folder / name) for name in files)],
        capture_output=True,
        text=True,
        cwd=folder.parents[1],
    )
    lines = done.stdout.splitlines()
    passed = sum(line.startswith("PASSED") for line in lines)
    bad = sum(line.startswith(("FAILED", "ERROR")) for line in lines)
    if bad:
        print(done.stdout[-4000:], file=sys.stderr)
    print(f"{fault:36} {passed + bad:6} {bad:13}", flush=True)
    return bad


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200, *sys.argv[2:3]))
