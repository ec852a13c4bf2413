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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults import pod_kills, unit_kills
from tests.faults.kills import KINDS, kill_once, suspend, turn_back
from tests.support.containers import CLIENTS, box_images
from tests.support.guest import Guest, booted
from tests.support.pods import Pod, node
from tests.support.processes import Marked

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


def main(rounds: int, word: str = "") -> int:
    """Try everything; 1 where something went wrong."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell has it ignored
    print(f"{'fault':36} {'tried':>6} {'left or lost':>13}", flush=True)
    with tempfile.TemporaryDirectory() as name, _images(Path(name)), _machines() as (guest, pod):
        rows = _kills(Path(name), rounds, guest, pod)
        bad = sum(_row(fault, tries) for fault, tries in rows if word in fault)
    for fault, files in _TESTS.items():
        bad += _tested(fault, files) if word in fault else 0
    return 1 if bad else 0


@contextmanager
def _images(folder: Path) -> Iterator[None]:
    yield from box_images(folder)


@contextmanager
def _machines() -> Iterator[tuple[Guest, tuple[Pod, Marked]]]:
    with booted() as guest, node() as made, pod_kills.watched(made) as pod:
        yield guest, pod


def _kills(
    folder: Path, rounds: int, guest: Guest, pod: tuple[Pod, Marked]
) -> Iterator[tuple[str, list[Callable[[], None]]]]:
    def kill(name: str, number: int) -> Callable[[], None]:
        return lambda: kill_once(name, number, Path(tempfile.mkdtemp(dir=folder)))

    def kill_of_unit(name: str, number: int) -> Callable[[], None]:
        return lambda: unit_kills.kill_once(guest, name, number, Path(tempfile.mkdtemp(dir=folder)))

    def kill_of_pod(number: int) -> Callable[[], None]:
        return lambda: pod_kills.kill_once(*pod, number, Path(tempfile.mkdtemp(dir=folder)))

    def sleep(name: str) -> Callable[[], None]:
        return lambda: suspend(name, _SLEEPS, Path(tempfile.mkdtemp(dir=folder)))

    def back(name: str) -> Callable[[], None]:
        return lambda: turn_back(name, _BACK, Path(tempfile.mkdtemp(dir=folder)))

    for name in KINDS:
        yield f"kill -9: {name}", [kill(name, number) for number in range(rounds)]
    for name in unit_kills.KINDS:
        yield f"kill -9: {name}", [kill_of_unit(name, number) for number in range(rounds)]
    yield "kill -9: pod", [kill_of_pod(number) for number in range(rounds)]
    for name in KINDS:
        if name != "prove" and name not in CLIENTS:
            yield f"{_SLEEPS:.0f} s stopped: {name}", [sleep(name)]
            yield f"clock set back: {name}", [back(name)]


def _row(fault: str, tries: list[Callable[[], None]]) -> int:
    bad = 0
    for attempt in tries:
        try:
            attempt()
        except AssertionError as error:
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
