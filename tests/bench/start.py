"""What a start takes, part by part, until ``capadvise run`` lets its target go; and what the short
commands take until their end.

Medians, by processor time, which a busy machine disturbs least, and by the clock. The parts are
those of the supervisor's threads, and of the guardian: they add up to the processor time. The other
commands get a small report and a small file.

    python -m tests.bench.start [ROUNDS]             with another interpreter: /usr/bin/python3 -m …
    python -m tests.bench.start --beside FOLDER …    another checkout, by turns
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

HERE = Path(__file__).parents[2]
ROUNDS = 20
WANTED = 0.1
COMMANDS = {
    "explain": ["explain", "r.json"],
    "emit": ["emit", "r.json", "--format", "compose"],
    "check": ["check", "compose.yaml", "--against", "r.json"],
}
COMPOSE = "services: {web: {image: nginx, cap_drop: [ALL], cap_add: [CHOWN]}}\n"
CALL = "import sys; from capadvise.cli import main; sys.exit(main())"
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def environment(checkout: Path) -> dict[str, str]:
    """Where the code is."""
    return {**os.environ, "PYTHONPATH": str(checkout)}


def start(checkout: Path, folder: Path) -> dict[str, float]:
    """One start: seconds of each part, and of the clock."""
    program = str(Path(__file__).with_name("start_parts.py"))
    read, write = os.pipe()
    words = ["run", "-q", "-o", "r.json", "--", "true"]
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-P", program, str(write), *words],
        cwd=folder,
        env=environment(checkout),
        pass_fds=[write],
        stdin=subprocess.DEVNULL,
    )
    os.close(write)
    with open(read) as told:
        found = json.loads(told.read())
    assert process.wait() == 0
    return {**found["parts"], "all": sum(found["parts"].values()), "clock": found["at"] - began}


def command(checkout: Path, folder: Path, words: list[str]) -> dict[str, float]:
    """One command, from its start to its end."""
    began = time.monotonic()
    argv = [sys.executable, "-c", CALL, *words]
    pid = subprocess.Popen(argv, cwd=folder, env=environment(checkout), **QUIET).pid  # type: ignore[call-overload]
    used = os.wait4(pid, 0)[2]
    return {"all": used.ru_utime + used.ru_stime, "clock": time.monotonic() - began}


def show(name: str, seconds: list[list[float]]) -> None:
    """A row: each checkout's median, in milliseconds."""
    print(f"{name:24}", *(f"{median(each) * 1000:8.1f}" for each in seconds), flush=True)


def main(checkouts: list[Path], rounds: int) -> None:
    """Print the tables."""
    starts: list[list[dict[str, float]]] = [[] for _ in checkouts]
    ends: dict[str, list[list[dict[str, float]]]] = {
        name: [[] for _ in checkouts] for name in COMMANDS
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "compose.yaml").write_text(COMPOSE)
        for _ in range(rounds):
            for number, checkout in enumerate(checkouts):
                time.sleep(0.6)  # the guardian of the last one removes its buffers
                starts[number].append(start(checkout, folder))
        for _ in range(rounds):
            for word, words in COMMANDS.items():
                for number, checkout in enumerate(checkouts):
                    ends[word][number].append(command(checkout, folder, words))
    print(f"until the target is let go, ms, median of {rounds}, Python {sys.version.split()[0]}")
    for part in starts[0][0]:
        if part == "all":
            print(f"(wanted: at most {WANTED * 1000:.0f})")
        show(
            {"all": "processor", "clock": "clock"}.get(part, f"  {part}"),
            [[one.get(part, 0.0) for one in each] for each in starts],
        )
    for word, each in ends.items():
        for kind in ("all", "clock"):
            label = f"{word}: {'processor' if kind == 'all' else 'clock'}"
            show(label, [[one[kind] for one in those] for those in each])


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("needs root")
    given = sys.argv[1:]
    beside = [Path(given.pop(given.index("--beside") + 1))] if "--beside" in given else []
    numbers = [int(word) for word in given if word.isdecimal()]
    main([HERE, *beside], numbers[0] if numbers else ROUNDS)
