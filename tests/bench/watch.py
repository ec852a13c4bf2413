"""What ``capadvise watch`` costs the machine, and itself.

An ordinary user maps memory, which fails a check each time, opens files, which checks nothing, and
makes processes, at whose end a program runs. What is compared is the processor time of these loads.
Each round takes it twice without a watch and once with it, in an order that turns round; a ratio is
that of two neighbours, so that what else the machine does weighs on both alike. The second time
without tells what the machine's unrest alone makes of a ratio: where that is not 1.00, wait for a
quieter hour. The budget is 1.01, but not for ``--every-call``.

Then 10,000 calls a second are refused for a while: the processor time of the watch, of which 1 % of
a processor is its budget. Then ten million are: its memory after the first and after each further
one, which is to be the same. Then more kinds of refusals than it keeps: how large it can get.

    python -m tests.bench.watch [PART ...] [--rounds N] [--millions N]
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from capadvise.judgement.watched import KEPT
from capadvise.kernel import procfs
from tests.support.wait import until
from tests.support.watching import Watching, watching

LOADS = {
    "mmap": (10_000, "mmap.mmap(-1, 4096).close()"),
    "open": (20_000, "os.close(os.open('/dev/null', 0))"),
    "fork": (100, "os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)"),
}
EVERY_CALL = "every-call"
PARTS = (*LOADS, EVERY_CALL, "processor", "memory", "kinds")
TIMED = """
import mmap, os, resource, time
os.setgroups([]); os.setgid(65534); os.setuid(65534)
def spent():
    of = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in of)
for _ in range({repeated}):
    begun = spent()
    for _ in range({times}): {load}
    print(spent() - begun)
"""
REPEATED = 6
"""Of these, the quickest counts: nobody interrupted it."""
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
KINDS = """
import os, time
for uid in range(1, {kinds} + 1):
    os.seteuid(uid)
    try: os.chown("/etc/passwd", 8, 6)
    except OSError: pass
    os.seteuid(0)
    if uid % 200 == 0: time.sleep(0.3)
"""
SECONDS = 20
MILLION = 1_000_000


def main(parts: Sequence[str], rounds: int, millions: int) -> None:
    """Print it."""
    print(f"load of this machine: {os.getloadavg()[0]:.1f}")
    print(f"{'':8} {'':12} median (quartiles), and quickest to quickest, of {rounds} rounds")
    for name in LOADS:
        if name in parts:
            throughput(name, rounds)
        if EVERY_CALL in parts:
            throughput(name, rounds, "--every-call")
    if "processor" in parts:
        with watching("--json") as watch:
            processor(watch)
    if "memory" in parts:
        with watching("--json") as watch:
            _memory(watch, millions)
    if "kinds" in parts:
        with watching("--json") as watch:
            _kinds(watch)


@dataclass(frozen=True)
class Kind:
    """What runs beside the load."""

    name: str
    around: Callable[[], AbstractContextManager[object]]


def throughput(name: str, rounds: int, *options: str) -> float:
    """Print the ratios; the median of those under a watch."""
    nothing, again = Kind("without", nullcontext), Kind("unrest", nullcontext)
    watched = Kind(options[0][2:] if options else "watch", lambda: watching("--json", *options))
    order = [again, nothing, watched]  # "without" is the neighbour of both
    seconds: dict[str, list[float]] = {kind.name: [] for kind in order}
    for _ in range(rounds):
        for kind in order:
            with kind.around():
                seconds[kind.name].append(_seconds(name))
        order.reverse()
    native = seconds[nothing.name]
    for kind in (again, watched):
        taken = seconds[kind.name]
        ratios = [one / other for one, other in zip(taken, native, strict=True)]
        low, median, high = statistics.quantiles(ratios, n=4)
        best = min(taken) / min(native)
        spread = f"{median:.3f} ({low:.3f} to {high:.3f}), {best:.3f}"
        print(f"{name:8} {kind.name:12} {spread}", flush=True)
    return median


def _seconds(name: str) -> float:
    times, load = LOADS[name]
    code = TIMED.format(repeated=REPEATED, times=times, load=load)
    lines = subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()
    return min(map(float, lines))


def processor(watch: Watching) -> float:
    """What it takes of a processor while 10,000 calls a second are refused, in percent."""
    before = _spent(watch)
    _refuse(5, FOR_A_WHILE.format(seconds=SECONDS))
    spent = _spent(watch) - before
    print(f"{_counted(watch, 5) / SECONDS:.0f} refusals a second: ", end="")
    print(f"{100 * spent / SECONDS:.2f} % of a processor", flush=True)
    return 100 * spent / SECONDS


def _memory(watch: Watching, millions: int) -> None:
    print(f"begun: {_used(watch)}")
    for million in range(1, millions + 1):
        _refuse(7, SO_MANY.format(times=MILLION))
        counted, findings = _counted(watch, 7), watch.rows("summary")[-1]["findings"]
        if counted != million * MILLION:
            raise SystemExit(f"{counted} were counted after {million} million")
        print(f"{million} million: {_used(watch)}, {findings} findings", flush=True)


def _kinds(watch: Watching) -> None:
    print(f"begun: {_used(watch)}")
    for made in (KEPT // 2, KEPT, 2 * KEPT):
        subprocess.run([sys.executable, "-c", KINDS.format(kinds=made)], check=True)
        print(f"{made} kinds: {_used(watch)}", flush=True)


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


def _spent(watch: Watching) -> float:
    """Seconds of processor time."""
    with open(f"/proc/{watch.process.pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _used(watch: Watching) -> str:
    """Memory: its own, and what it shares with other processes (Python, libraries)."""
    text = Path(f"/proc/{watch.process.pid}/status").read_text()
    own, files = (int(procfs.parse_status(text)[name].split()[0]) for name in _KINDS_OF_MEMORY)
    return f"{own / 1024:.1f} MB, and {files / 1024:.1f} MB of files"


_KINDS_OF_MEMORY = ("RssAnon", "RssFile")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.watch")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--millions", type=int, default=10)
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    main(given.parts or PARTS, given.rounds, given.millions)
