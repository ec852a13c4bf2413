"""What ``capadvise watch`` costs the machine, and itself.

An ordinary user maps memory, which fails a check each time, and opens files, which checks nothing;
pairs without and with a watch are made in turn, so that their ratio means something. Then 10,000
calls a second are refused for a while: the processor time and the memory of the watch. The budgets:
1.01, 1.01, 1 % and 20 MB more than at first.

    python -m tests.bench.watch [ROUNDS]
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path

from capadvise.linux.kernel import procfs
from tests.support.watching import Watching, watching

LOADS = {"mmap": "mmap.mmap(-1, 4096).close()", "open": "os.close(os.open('/dev/null', 0))"}
TIMED = """
import mmap, os, time
os.setgroups([]); os.setgid(65534); os.setuid(65534)
begun = time.process_time()
for _ in range({times}): {load}
print(time.process_time() - begun)
"""
REFUSED = """
import os, time
os.setgroups([]); os.setgid(65534); os.setuid(65534)
def chown():
    try: os.chown("/etc/passwd", 5, 6)
    except OSError: pass
end = time.monotonic() + {seconds}
while (now := time.monotonic()) < end:
    for _ in range(100): chown()
    time.sleep(max(0, now + 0.01 - time.monotonic()))
"""
TIMES, SECONDS = 20_000, 20


def main(rounds: int) -> None:
    """Print it all."""
    for name, load in LOADS.items():
        without, with_ = [], []
        for _ in range(rounds):
            without.append(_seconds(load))
            with watching("--json"):
                with_.append(_seconds(load))
        best, median = min(with_) / min(without), statistics.median(with_)
        print(f"{name:8} {best:.3f} (best), {median / statistics.median(without):.3f} (median)")
    with watching("--json") as watch:
        cpu, memory = _used(watch)
        subprocess.run([sys.executable, "-c", REFUSED.format(seconds=SECONDS)], check=True)
        spent, grown = _used(watch)
        watch.process.send_signal(signal.SIGHUP)
        counted = watch.row(lambda row: row["about"].startswith("/etc/passwd, uid 5"), "count")
        print(f"refused  {counted['count'] / SECONDS:.0f} a second")
        print(f"watch    {100 * (spent - cpu) / SECONDS:.2f} % of a processor")
        print(f"memory   {grown / 1024:.0f} MB, {(grown - memory) / 1024:+.1f} MB")


def _seconds(load: str) -> float:
    code = TIMED.format(times=TIMES, load=load)
    words = ["chrt", "-f", "50", sys.executable, "-c", code]
    return float(subprocess.check_output(words, text=True))


def _used(watch: Watching) -> tuple[float, int]:
    """Seconds of processor time, and KB of memory."""
    pid = watch.process.pid
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    status = procfs.parse_status(Path(f"/proc/{pid}/status").read_text())
    return ticks / os.sysconf("SC_CLK_TCK"), int(status["VmRSS"].split()[0])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
