"""What an odd program needs, found by trial: it is run with less, and its exit status tells.

capadvise has no part in it: ``setpriv`` takes capabilities out of the bounding set. Each run has a
folder, a mount, a network, an IPC and a UTS namespace of its own; nothing that it started survives.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from capadvise.model.caps import NAMES
from tests.support.odd_programs import PROGRAMS, OddProgram

FILE = Path(__file__).parents[1] / "data" / "odd-programs.json"
FIRST_TO_GO = tuple(
    """
    SYS_ADMIN SYS_MODULE SYS_RAWIO SYS_PTRACE SYS_BOOT MAC_ADMIN MAC_OVERRIDE SETFCAP SETPCAP
    DAC_OVERRIDE NET_ADMIN SYS_RESOURCE BPF SYS_TIME MKNOD SYS_CHROOT CHOWN FOWNER SETUID SETGID
    DAC_READ_SEARCH PERFMON
    """.split()  # noqa: SIM905
)
"""The most powerful are removed first, so that the weaker of two alternatives stays."""
LIMIT = 20
PR_SET_CHILD_SUBREAPER = 36
NAMESPACES = ("unshare", "--mount", "--net", "--ipc", "--uts", "--propagation=private", "--")
STAGE = """
ip link set lo up
set -e
{setup}
set +e
echo ready >&3
read -r line <&4
{check}
status=$?
kill $(jobs -p) 2>/dev/null
exit $status
"""
"""The shell that makes the circumstances, waits for the command, and judges."""


class NotFurnished(Exception):
    """The circumstances of a program could not be made: nothing is known about it."""


@dataclass(frozen=True)
class Outcome:
    """One run."""

    passed: bool
    output: str


def machine_caps() -> frozenset[str]:
    """What this machine can grant."""
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if "CapBnd" in x)
    held = int(line.split()[1], 16)
    return frozenset(name for bit, name in enumerate(NAMES) if held >> bit & 1)


def in_order(caps: Iterable[str]) -> list[str]:
    """By number."""
    return sorted(caps, key=NAMES.index)


def descendants(root: int) -> list[int]:
    """The processes below one."""
    children: dict[int, list[int]] = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            words = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            children.setdefault(int(words[1]), []).append(int(entry))
    found, todo = [], [root]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def end_all() -> None:
    """Kill what this process, their subreaper, has started."""
    deadline = time.monotonic() + 10
    while (pids := descendants(os.getpid())) and time.monotonic() < deadline:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.005)


def run(program: OddProgram, prefix: Sequence[str], *, tool: bool = False) -> Outcome:
    """Run it behind a prefix. A ``tool`` stops its target by itself, and has time to report."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        folder = Path(tempfile.mkdtemp(prefix="odd-", dir="/tmp"))
        try:
            answer = _staged(program, prefix, folder, tool=tool)
        except BaseException as error:
            answer = {"broken": f"{type(error).__name__}: {error}"}
        finally:
            end_all()
            shutil.rmtree(folder, ignore_errors=True)
        os.write(write_end, json.dumps(answer).encode()[:60_000])
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        answer = json.loads(pipe.read() or '{"broken": "its process died"}')
    os.waitpid(pid, 0)
    if "broken" in answer:
        raise NotFurnished(f"{program.name}: {answer['broken']}")
    return Outcome(answer["passed"], answer["output"])


def _environment(folder: Path, work: Path) -> dict[str, str]:
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "W": str(work),
        "N": f"o{folder.name.removeprefix('odd-')}",
    }


def _status(
    program: OddProgram,
    argv: Sequence[str],
    place: tuple[Path, dict[str, str], Path],
    *,
    tool: bool,
) -> int | None:
    """Its exit status; None if it had no end in its time. ``place``: its folder, its environment
    and the file of its output."""
    work, env, output = place
    status: int | None = None
    with open(output, "w") as log:
        command = subprocess.Popen(
            argv,
            cwd=work,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        if program.stop_after is not None and not tool:
            with suppress(subprocess.TimeoutExpired):
                status = command.wait(program.stop_after)
            command.terminate()
        with suppress(subprocess.TimeoutExpired):
            status = command.wait(LIMIT * (3 if tool else 1))
    return status


def _staged(
    program: OddProgram, prefix: Sequence[str], folder: Path, *, tool: bool
) -> dict[str, object]:
    work = folder / "w"
    work.mkdir()
    folder.chmod(0o755)
    env = _environment(folder, work)
    ready, go = os.pipe(), os.pipe()
    script = STAGE.format(setup=program.setup, check=program.check)

    def ends() -> None:
        os.dup2(ready[1], 103)
        os.dup2(go[0], 104)
        os.dup2(103, 3)
        os.dup2(104, 4)

    with open(folder / "stage", "w+") as log:
        stage = subprocess.Popen(
            [*NAMESPACES, "bash", "-c", script],
            cwd=work,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=ends,
            pass_fds=(3, 4),
        )
        os.close(ready[1])
        os.close(go[0])
        if os.read(ready[0], 5) != b"ready":
            stage.wait()
            log.seek(0)
            return {"broken": f"setup: {log.read()[-500:]}"}
    inside = ["nsenter", "-t", str(stage.pid), "-m", "-n", "-i", "-u", f"--wdns={work}", "--"]
    output = folder / "output"
    status = _status(program, [*inside, *prefix, *program.argv], (work, env, output), tool=tool)
    os.write(go[1], b"\n")
    os.close(go[1])
    checked = stage.wait(LIMIT)
    ended_well = status == 0 or tool or program.stop_after is not None
    return {
        "passed": bool(ended_well and checked == 0),
        "output": output.read_text("utf-8", "replace")[-20_000:],
    }


def trial(program: OddProgram, caps: Iterable[str]) -> bool:
    """Does it do its job with these alone?"""
    kept = in_order(frozenset(caps) & machine_caps())
    bounding = ",".join(["-all", *(f"+{cap.lower()}" for cap in kept)])
    prefix = ["setpriv", "--bounding-set", bounding, "--inh-caps=-all", "--ambient-caps=-all", "--"]
    return run(program, prefix).passed


class Search:
    """The trials of one program; what decides is tried twice."""

    def __init__(self, program: OddProgram) -> None:
        self.program = program
        self.seen: dict[frozenset[str], bool] = {}

    def passes(self, caps: frozenset[str]) -> bool:
        if caps not in self.seen:
            self.seen[caps] = trial(self.program, caps)
        return self.seen[caps]

    def surely(self, caps: frozenset[str]) -> bool:
        """Two trials that agree; a third where they differ."""
        if self.passes(caps) != trial(self.program, caps):
            self.seen[caps] = trial(self.program, caps)
        return self.seen[caps]

    def reduced(self, keep: frozenset[str], candidates: list[str]) -> frozenset[str]:
        """Without as many candidates as possible: halves first."""
        if not candidates or self.passes(keep - set(candidates)):
            return keep - set(candidates)
        if len(candidates) == 1:
            return keep
        half = len(candidates) // 2
        return self.reduced(self.reduced(keep, candidates[:half]), candidates[half:])

    def minimal(self, start: frozenset[str]) -> frozenset[str] | None:
        """A set that passes, and fails without any one member; None where full sets fail, too."""
        if not self.surely(start):
            return None
        if self.surely(frozenset()):
            return frozenset()
        order = sorted(start, key=lambda cap: (cap not in FIRST_TO_GO, _rank(cap)))
        keep = start
        for _ in range(3):
            keep = self.reduced(keep, [cap for cap in order if cap in keep])
            if self.surely(keep) and not any(self.surely(keep - {cap}) for cap in keep):
                return keep
        raise NotFurnished(f"{self.program.name}: no stable minimal set")


def _rank(cap: str) -> int:
    return FIRST_TO_GO.index(cap) if cap in FIRST_TO_GO else NAMES.index(cap)


def excess_of(program: OddProgram, caps: frozenset[str]) -> list[str] | None:
    """What a set has too much; None where the program fails with it."""
    search = Search(program)
    if not search.surely(caps):
        return None
    return in_order(cap for cap in caps if search.surely(caps - {cap}))


@dataclass
class Known:
    """What trials have found, so that it need not be searched again."""

    minimal: dict[str, list[str]]
    judged: dict[str, dict[str, list[str] | None]]
    """Other sets, as words, and what each has too much; None: the program fails with it."""

    @classmethod
    def load(cls) -> Known:
        """From the file."""
        return cls(**json.loads(FILE.read_text()))

    @classmethod
    def add(cls, found: Known) -> None:
        """Put further sets into the file, which another search may have changed."""
        whole = cls.load()
        whole.minimal |= found.minimal
        for name, sets in found.judged.items():
            whole.judged[name] = whole.judged.get(name, {}) | sets
        new = FILE.with_suffix(".new")
        new.write_text(json.dumps(asdict(whole), indent=1, sort_keys=True) + "\n")
        new.rename(FILE)


def by_name(names: Iterable[str]) -> list[OddProgram]:
    """The programs of these names, or all."""
    wanted = set(names)
    return [program for program in PROGRAMS if not wanted or program.name in wanted]


def search(program: OddProgram) -> tuple[str, list[str] | None, str]:
    """Its name, its minimal set (None: it fails with everything), and what went wrong."""
    try:
        found = Search(program).minimal(machine_caps())
    except NotFurnished as error:
        return program.name, None, str(error)
    if found is None:
        return program.name, None, f"fails with everything: {run(program, ()).output[-300:]}"
    return program.name, in_order(found), ""


def main() -> None:
    """Search for the sets that are not known yet, and save them."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--again", action="store_true", help="search for those known, too")
    parser.add_argument("-j", "--jobs", type=int, default=2)
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args()
    known = Known.load()
    todo = [p for p in by_name(args.names) if args.again or p.name not in known.minimal]
    with ProcessPoolExecutor(args.jobs) as pool:
        for name, caps, why in pool.map(search, todo):
            print(f"{name:24} {caps or why or 'none'}", flush=True)
            if caps is not None:
                Known.add(Known({name: caps}, {}))


if __name__ == "__main__":
    main()
