"""What EPERM retries cost: ratios to native, with strace beside them, from one run.

Usage: retry.py [ROUNDS]      (root; needs strace and tar; default 5 rounds)

The commands of a round run one after the other, so that a busy machine slows them alike. Budgets:
1.2 × ``strace -f --seccomp-bpf -e trace=%file`` where calls are stopped, 1.3 × native where the
filter lets them pass. Start and end of capadvise itself (``run --retry -- true``) are left out.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CAPADVISE = str(Path(sys.executable).with_name("capadvise"))
PYTHON = sys.executable
IMPORTS = "import asyncio, email, http.client, json, logging, sqlite3, unittest, urllib.request"
STRACE = ["strace", "-f", "-o", "/dev/null"]
FILTERED = [*STRACE, "--seccomp-bpf", "-e", "trace=%file"]
CPU = "sum(i * i for i in range(20_000_000))"
READ_WRITE = """
import os
source, sink = os.open("/dev/zero", os.O_RDONLY), os.open("/dev/null", os.O_WRONLY)
for _ in range(1_000_000): os.write(sink, os.read(source, 512))
"""


def loads(folder: str) -> dict[str, tuple[list[str], str]]:
    """Load → command, and what its budget is held against."""
    return {
        "Python starts, 10 ×": (
            ["sh", "-c", f"for i in 1 2 3 4 5 6 7 8 9 10; do {PYTHON} -c '{IMPORTS}'; done"],
            "strace",
        ),
        "tar of 5,000 foreign files": (["tar", "-cf", "/dev/null", "-C", folder, "."], "strace"),
        "processor alone": ([PYTHON, "-c", CPU], "native"),
        "read and write, 1,000,000 ×": ([PYTHON, "-c", READ_WRITE], "native"),
    }


def seconds(command: list[str], **more: str) -> float:
    begin = time.perf_counter()
    subprocess.run(
        command,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **more},
    )
    return time.perf_counter() - begin


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
        ours = [CAPADVISE, "run", "--retry", "-q", "-o", f"{scratch}/report.json", "--"]
        alone = {"CAPADVISE_OBSERVER": "retry"}
        added = statistics.median(
            seconds([*ours, "true"], **alone) - seconds(["true"]) for _ in range(2 * rounds)
        )
        print(f"run --retry -- true adds {added * 1000:.0f} ms")
        print(
            f"\n{'load':28} {'native':>8} {'retry':>7} {'strace':>7} {'filtered':>9} "
            f"{'retry/':>9} {'budget':>7}"
        )
        print(f"{'':28} {'':8} {'':7} {'-f':>7} {'strace':>9} {'base':>9}")
        for load, (command, base) in loads(files).items():
            natives, retried, straced, filtered = [], [], [], []
            for number in range(rounds):
                natives.append(seconds(command))
                retried.append(seconds([*ours, *command], **alone) - added)
                filtered.append(seconds([*FILTERED, *command]))
                if not number:
                    straced.append(seconds([*STRACE, *command]))
            budget = 1.2 if base == "strace" else 1.3
            held = filtered if base == "strace" else natives
            ratio = statistics.median(r / h for r, h in zip(retried, held, strict=True))
            native = statistics.median(natives)
            columns = [statistics.median(each) / native for each in (retried, straced, filtered)]
            met = "met" if ratio <= budget else "NOT MET"
            print(
                f"{load:28} {native:7.2f}s {columns[0]:7.2f} {columns[1]:7.2f} {columns[2]:9.2f} "
                f"{ratio:9.2f} {budget:7.2f}  {met} (against {base})"
            )


if __name__ == "__main__":
    main()
