"""What EPERM retries cost: ratios to native, with strace beside them, from one run.

Usage: retry.py [ROUNDS]      (root; needs strace and tar; default 5 rounds)

The commands of a round run one after the other, so that a busy machine slows them alike. Budgets:
1.2 × ``strace -f --seccomp-bpf -e trace=%file`` where calls are stopped, 1.3 × native where the
filter lets them pass. Timed inside the target, so that the start and the end of the tools are left
out; of each the fastest round counts, which a busy machine spoils least.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

CAPADVISE = str(Path(sys.executable).with_name("capadvise"))
PYTHON = sys.executable
IMPORTS = "import asyncio, email, http.client, json, logging, sqlite3, unittest, urllib.request"
STRACE = ["strace", "-f", "-o", "/dev/null"]
FILTERED = [*STRACE, "--seccomp-bpf", "-e", "trace=%file"]
BUDGETS = {"strace": 1.2, "native": 1.3}
CPU = "sum(i * i for i in range(5_000_000))"
READ_WRITE = """
import os
source, sink = os.open("/dev/zero", os.O_RDONLY), os.open("/dev/null", os.O_WRONLY)
for _ in range(300_000): os.write(sink, os.read(source, 512))
"""
STAT = "import os\nfor _ in range(30_000): os.stat('{folder}')"
OPEN = """
import os
for _ in range(20_000):
    fd = os.open("/etc/passwd", os.O_RDONLY)
    os.read(fd, 512)
    os.close(fd)
"""
THREADS = """
import os, threading
def work():
    for _ in range(400): os.stat("{folder}")
threads = [threading.Thread(target=work) for _ in range(50)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""

TIMED = """
import subprocess, sys, time
begin = time.perf_counter()
subprocess.run(sys.argv[2:], check=True)
with open(sys.argv[1], "w") as file: file.write(str(time.perf_counter() - begin))
"""


def loads(folder: str) -> dict[str, tuple[list[str], str]]:
    """Load → command, and what its budget is held against."""
    return {
        "Python starts, 3 ×": (
            ["sh", "-c", f"for i in 1 2 3; do {PYTHON} -c '{IMPORTS}'; done"],
            "strace",
        ),
        # through a pipe: tar reads nothing of what goes to /dev/null
        "tar of 5,000 foreign files": (["sh", "-c", f"tar -cf - -C {folder} . | cat"], "strace"),
        "stat, 30,000 ×": ([PYTHON, "-c", STAT.format(folder=folder)], "strace"),
        "open and read, 20,000 ×": ([PYTHON, "-c", OPEN], "strace"),
        "chown of 5,000 files": (["chown", "-R", "65533", folder], "strace"),
        "500 processes": (["sh", "-c", "for i in $(seq 500); do /bin/true; done"], "strace"),
        "50 threads that stat": ([PYTHON, "-c", THREADS.format(folder=folder)], "strace"),
        "processor alone": ([PYTHON, "-c", CPU], "native"),
        "read and write, 300,000 ×": ([PYTHON, "-c", READ_WRITE], "native"),
    }


def seconds(tool: list[str], command: list[str], scratch: str) -> float:
    """How long a command runs below a tool."""
    took = Path(scratch, "took")
    subprocess.run(
        [*tool, PYTHON, "-c", TIMED, str(took), *command],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "CAPADVISE_OBSERVER": "retry"},
    )
    return float(took.read_text())


def fastest(command: list[str], scratch: str, rounds: int) -> dict[str, float]:
    """Tool → seconds of its fastest round."""
    report = f"{scratch}/report.json"
    tools = {
        "native": [],
        "retry": [CAPADVISE, "run", "--retry", "-q", "-o", report, "--"],
        "strace": FILTERED,
        "strace -f": STRACE,
    }
    best = dict.fromkeys(tools, 1e9)
    for number in range(rounds):
        for name, tool in tools.items():
            if name != "strace -f" or not number:  # slow, and close to no budget
                best[name] = min(best[name], seconds(tool, command, scratch))
    return best


def foreign_files(folder: str) -> None:
    """5,000 files that root can read only with DAC_READ_SEARCH."""
    for number in range(5000):
        path = Path(folder, f"file-{number}")
        path.write_text("x" * 100)
        path.chmod(0o600)
        os.chown(path, 65534, 65534)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory() as files:
        foreign_files(files)
        print(f"{'load':28} {'native':>8} {'retry':>7} {'strace':>7} {'strace -f':>10} ", end="")
        print(f"{'ratio':>6} {'budget':>7}      (strace: --seccomp-bpf -e trace=%file)")
        for load, (command, base) in loads(files).items():
            best = fastest(command, scratch, rounds)
            ratio = best["retry"] / best[base]
            budget = BUDGETS[base]
            native = best["native"]
            print(
                f"{load:28} {native:7.2f}s {best['retry'] / native:6.2f}× "
                f"{best['strace'] / native:6.2f}× {best['strace -f'] / native:9.2f}× "
                f"{ratio:6.2f} {budget:7.2f}  {'met' if ratio <= budget else 'NOT MET'}, to {base}",
                flush=True,
            )


if __name__ == "__main__":
    main()
