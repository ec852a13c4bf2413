"""How cost grows: the same with so much work, and with ten times as much.

    python -m tests.bench.growth [PART ...]     (root; without parts, all of PARTS)

Each line: seconds of processor time for the small and for the large one, how often the first is in
the second, and the most memory that one process took. Ten times the work may cost twelve times as
much. Starting is in both, so that less than ten times is usual.

Containers are shells in control groups named as docker names them, which no engine knows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from capadvise.catalog import default
from capadvise.report import fleet
from capadvise.report.dump import dump
from capadvise.report.load import loaded
from capadvise.report.merge import merge
from tests.bench.fleet import texts
from tests.bench.scale import peak
from tests.bench.tui import large
from tests.support.runs import CAPADVISE
from tests.support.wait import until
from tests.support.watching import watching

MOST = 12.0
"""So much may ten times the work cost."""
LOAD = "for i in 1 2 3 4 5; do for j in 1 2 3 4 5 6 7 8 9 10; do /bin/true; done; done; chown 1 $F"
HIERARCHY = Path("/sys/fs/cgroup/pids")
UNIFIED = Path("/sys/fs/cgroup")
GROUP = "docker"


@dataclass(frozen=True, slots=True)
class Cost:
    """What something took."""

    cpu: float
    """Seconds of processor time."""
    wall: float
    memory: float
    """MB that the largest of its processes had at most."""


@dataclass(frozen=True, slots=True)
class Growth:
    """One thing, done with so much work and with more."""

    name: str
    small: int
    large: int
    before: Cost
    after: Cost

    @property
    def factor(self) -> float:
        """How often the small cost is in the large one."""
        return self.after.cpu / max(self.before.cpu, 0.005)

    @property
    def met(self) -> bool:
        """Whether it grows at most with the work."""
        return self.factor <= MOST * self.large / self.small / 10

    def __str__(self) -> str:
        cost = f"{self.before.cpu:.2f} s → {self.after.cpu:.2f} s"
        memory = f"{self.before.memory:.0f} MB → {self.after.memory:.0f} MB"
        return (
            f"{self.name}: {self.small:,} → {self.large:,}: {cost}, × {self.factor:.1f}; {memory}"
        )


def child(work: Callable[[], object]) -> Cost:
    """Do it in a process of its own: what that, and all that it waited for, took."""
    began = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    _, status, used = os.wait4(pid, 0)
    if status:
        raise SystemExit("what was to be measured failed")
    wall = time.perf_counter() - began
    return Cost(used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1024)


def spent(pid: int) -> float:
    """Seconds of processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(*argv: str, cwd: str | None = None) -> Callable[[], object]:
    """A command, whose output nobody reads."""
    quiet = subprocess.DEVNULL
    return lambda: subprocess.run(
        argv, check=True, stdin=quiet, stdout=quiet, stderr=quiet, cwd=cwd
    )


def grown(name: str, small: int, large: int, cost: Callable[[int], Cost]) -> Growth:
    """Measure both."""
    return Growth(name, small, large, cost(small), cost(large))


# ---------------------------------------------------------------------- recordings at once


def recordings() -> Iterator[Growth]:
    """Ten recordings after one another, and ten at once: all must see the same."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "f").touch()

        def record(count: int) -> Cost:
            def work() -> None:
                os.environ["F"] = f"{folder}/f"
                argv = [CAPADVISE, "run", "-q", "-o"]
                every = [
                    subprocess.Popen([*argv, f"{folder}/{n}.json", "--", "sh", "-c", LOAD])
                    for n in range(count)
                ]
                assert not any(one.wait() for one in every)

            cost = child(work)
            for number in range(count):
                seen = json.loads(Path(folder, f"{number}.json").read_text())
                needed = seen["proposal"]["cap_add"]
                assert needed == ["CHOWN"], needed
                assert not any(seen["recordings"][0]["lost"].values())
            return cost

        yield grown("recordings at once", 1, 10, record)


# ---------------------------------------------------------------------- containers on a machine


@contextmanager
def containers(count: int, code: str = "sleep 1000") -> Iterator[list[subprocess.Popen[bytes]]]:
    """Shells, each in a control group that is named as docker names its own."""
    above = (HIERARCHY if HIERARCHY.is_dir() else UNIFIED) / GROUP
    ours = not above.exists()
    above.mkdir(exist_ok=True)
    groups = [above / f"{number:06x}{os.getpid():058x}" for number in range(count)]
    shells = []
    try:
        for group in groups:
            group.mkdir()
            enter = f"echo $$ > {group}/cgroup.procs; {code}"
            shells.append(
                subprocess.Popen(["sh", "-c", f"exec 2>&-; {enter}"], stdin=subprocess.PIPE)
            )
        until(lambda: all((group / "cgroup.procs").read_text() for group in groups))
        yield shells
    finally:
        for shell in shells:
            shell.kill()
        for group, shell in zip(groups, shells, strict=False):
            shell.wait()
            until(partial(_is_empty, group))
        for group in groups:
            if group.exists():
                group.rmdir()
        if ours:
            above.rmdir()


def _is_empty(group: Path) -> bool:
    return not (group / "cgroup.procs").read_text()


def among_containers() -> Iterator[Growth]:
    """What is asked of a machine with many containers."""

    def inspected(count: int) -> Cost:
        with containers(count, "exec sleep 1000"):
            return child(run(CAPADVISE, "inspect"))

    def attached(count: int) -> Cost:
        with (
            containers(count, "exec sleep 1000") as shells,
            tempfile.TemporaryDirectory() as folder,
        ):
            argv = [CAPADVISE, "attach", "-q", "--for", "1", "-o", f"{folder}/r.json"]
            return child(run(*argv, str(shells[0].pid)))

    yield grown("inspect among containers", 100, 1000, inspected)
    yield grown("attach to one of the containers", 100, 1000, attached)


def refusals() -> Iterator[Growth]:
    """A watch over many containers, in each of which a check fails."""

    def watched(count: int) -> Cost:
        code = "read x; exec setpriv --clear-groups --reuid 65534 chown 1 /etc/passwd"
        with containers(count, code) as shells, watching("--json") as watch:
            began = time.perf_counter()
            for shell in shells:
                shell.communicate(b"\n")
            mine = f"{os.getpid():058x}"
            until(lambda: sum(mine in str(row["container"]) for row in watch.rows()) >= count)
            wall, pid = time.perf_counter() - began, watch.process.pid
            return Cost(spent(pid), wall, peak(pid))

    yield grown("watch over containers, one refusal in each", 100, 1000, watched)


# ---------------------------------------------------------------------- large reports


def evidence() -> Iterator[Growth]:
    """Two reports merged, with so many pieces of evidence in each."""
    for small in (1000, 10_000):
        yield grown("merge two reports of so many pieces of evidence", small, 10 * small, _merged)


def _merged(count: int) -> Cost:
    catalog = default()
    catalog.preload()
    one = large(count)
    return child(lambda: merge([("a", one), ("b", one)], catalog, name="x"))


def reports() -> Iterator[Growth]:
    """Reports of replicas read, merged and written."""
    yield grown("merge so many reports of a workload", 100, 1000, _fleet)


def _fleet(count: int) -> Cost:
    catalog = default()
    catalog.preload()
    sent = texts(count)
    pods = {f"web-{number}": {"web": f"sha256:{'1' * 64}"} for number in range(count)}

    def work() -> None:
        read = [loaded(json.loads(text), "report", catalog) for text in sent]
        (merged,) = fleet.merged(read, "Deployment/web", pods, pods.keys(), catalog)
        json.dumps(dump(merged.report, catalog), indent=1)

    return child(work)


PARTS: dict[str, Callable[[], Iterator[Growth]]] = {
    "recordings": recordings,
    "containers": among_containers,
    "refusals": refusals,
    "evidence": evidence,
    "reports": reports,
}


def main() -> None:
    """Print a line for each."""
    words = sys.argv[1:]
    if unknown := set(words) - PARTS.keys():
        sys.exit(f"no such part: {', '.join(sorted(unknown))}")
    for name in words or PARTS:
        for one in PARTS[name]():
            print(f"{one}; {'met' if one.met else 'NOT MET'}", flush=True)


if __name__ == "__main__":
    main()
