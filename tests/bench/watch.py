"""What ``capadvise watch`` costs the machine, and itself.

An ordinary user maps memory, which fails a check each time, opens files, which checks nothing, and
makes processes, at whose end a program runs. Rounds without, with and with ``--every-call`` are
made in turn, so that their ratios mean something; it is processor time that is compared, and the
best of the rounds says most on a busy machine. Then 10,000 calls a second are refused for a while:
the processor time of the watch. Then ten million are: its memory. The budgets: 1.01 (but not for
``--every-call``), 1 %, and 20 MB, which do not grow.

    python -m tests.bench.watch [ROUNDS [MILLIONS]]
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from capadvise.linux.kernel import procfs
from tests.support.wait import until
from tests.support.watching import Watching, watching

LOADS = {
    "mmap": (20_000, "mmap.mmap(-1, 4096).close()"),
    "open": (20_000, "os.close(os.open('/dev/null', 0))"),
    "fork": (300, "os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)"),
}
TIMED = """
import mmap, os, time
os.setgroups([]); os.setgid(65534); os.setuid(65534)
begun, precise = sum(os.times()[:4]), time.process_time()
for _ in range({times}): {load}
print(sum(os.times()[:4]) - begun, time.process_time() - precise)
"""
REFUSED = """
import os, time
os.setgroups([]); os.setgid(65534); os.setuid(65534)
def chown():
    try: os.chown("/etc/passwd", {uid}, 6)
    except OSError: pass
"""
FOR_A_WHILE = """
end = time.monotonic() + {seconds}
while (now := time.monotonic()) < end:
    for _ in range(100): chown()
    time.sleep(max(0, now + 0.01 - time.monotonic()))
"""
SO_MANY = """
for _ in range({times}): chown()
"""
SECONDS = 20
KINDS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "without": nullcontext,
    "with": lambda: watching("--json"),
    "every call": lambda: watching("--json", "--every-call"),
}


def main(rounds: int, millions: float) -> None:
    """Print it all."""
    print(f"load of this machine: {os.getloadavg()[0]:.1f}")
    for name in LOADS:
        _throughput(name, rounds)
    with watching("--json") as watch:
        _refusals(watch, millions)


def _throughput(name: str, rounds: int) -> None:
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(rounds):
        for kind, around in KINDS.items():
            with around():
                times[kind].append(_seconds(name))
    native = times.pop("without")
    for kind, taken in times.items():
        best, median = min(taken) / min(native), _median(taken) / _median(native)
        print(f"{name:8} {kind:10} {best:.3f} (best), {median:.3f} (median)")


def _refusals(watch: Watching, millions: float) -> None:
    cpu, memory = _used(watch)
    _refuse(5, FOR_A_WHILE.format(seconds=SECONDS))
    spent, _ = _used(watch)
    print(f"refused  {_counted(watch, 5) / SECONDS:.0f} a second")
    print(f"watch    {100 * (spent - cpu) / SECONDS:.2f} % of a processor")
    _refuse(7, SO_MANY.format(times=int(millions * 1_000_000)))
    counted = _counted(watch, 7)
    _, grown = _used(watch)
    print(f"refused  {counted / 1e6:g} million")
    print(f"memory   {grown / 1024:.0f} MB, {(grown - memory) / 1024:+.1f} MB")


def _refuse(uid: int, loop: str) -> None:
    """``uid``: to whom the file cannot be given, which tells the loops apart."""
    name = f"open('/proc/self/comm', 'w').write('bench{uid}')"
    code = f"{name}\n{REFUSED.format(uid=uid)}{loop}"
    subprocess.run([sys.executable, "-c", code], check=True)


def _counted(watch: Watching, uid: int) -> int:
    before = len(watch.rows("summary"))
    watch.process.send_signal(signal.SIGHUP)
    until(lambda: len(watch.rows("summary")) > before)
    counts = [row for row in watch.rows("count") if row["program"] == f"bench{uid}"]
    return int(counts[-1]["count"])


def _median(numbers: Sequence[float]) -> float:
    return statistics.median(numbers)


def _seconds(name: str) -> float:
    times, load = LOADS[name]
    code = TIMED.format(times=times, load=load)
    words = [sys.executable, "-c", code]
    spent, precise = subprocess.check_output(words, text=True).split()
    return float(spent) if name == "fork" else float(precise)


def _used(watch: Watching) -> tuple[float, int]:
    """Seconds of processor time, and KB of memory."""
    pid = watch.process.pid
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    status = procfs.parse_status(Path(f"/proc/{pid}/status").read_text())
    return ticks / os.sysconf("SC_CLK_TCK"), int(status["VmRSS"].split()[0])


if __name__ == "__main__":
    given = [float(word) for word in sys.argv[1:]]
    main(int(given[0]) if given else 10, given[1] if len(given) > 1 else 10)
