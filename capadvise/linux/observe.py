"""Running a command and seeing every capability check that it causes.

The order of things: buffers ready, target started and held, its pid followed, then its exec.
Reading goes on until the last process of the tree is gone; what is left of the tree when the
recording ends is killed.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import pwd
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capadvise.caps import SYS_ADMIN, Cap
from capadvise.errors import BadInput, CannotObserve, CannotStart
from capadvise.linux import calls, procfs, tracefs
from capadvise.linux.aggregate import Aggregator, Types
from capadvise.linux.background import Background
from capadvise.linux.supervisor import GuardianProcess, Signals
from capadvise.linux.symbols import Symbols
from capadvise.recording import Held, Host, Lost, Phase, Posture, Recording, Target, Workload

CHECK_EVENT = "capability:cap_capable"
QUIET_KB, FLOOD_KB = 4096, 4096
"""Buffer sizes per CPU. The quiet one takes about 20,000 checks between two rounds of reading."""
PATIENCE = 10.0
"""Seconds between SIGTERM and SIGKILL."""
_ROUND = 0.02
_CHECK_EVERY = 0.1
_INTERPRETER = re.compile(r"(python|perl|ruby|node|php|bash|dash|sh)[0-9.]*")
_SYSCTLS = (
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "kernel.dmesg_restrict",
    "kernel.perf_event_paranoid",
    "kernel.unprivileged_bpf_disabled",
    "kernel.io_uring_disabled",
    "kernel.yama.ptrace_scope",
    "vm.overcommit_memory",
    "vm.unprivileged_userfaultfd",
)


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, and how."""

    argv: tuple[str, ...]
    user: str | None = None
    check: str | None = None
    kind: str | None = None
    seconds: float | None = None
    """End the recording after so long."""
    stdout_to_stderr: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """What came of a run."""

    recording: Recording
    target: Target
    workload: Workload
    posture: Posture
    check_passed: bool | None
    """None when there was no check, or it never could be run."""


def resolve(name: str) -> str:
    """The file that a command name means, as execvp would find it.

    Raises CannotStart with exit code 127 or 126.
    """
    path = shutil.which(name)
    if path:
        return os.path.abspath(path) if os.sep in path else path
    candidate = name if os.sep in name else None
    if candidate and os.path.exists(candidate):
        raise CannotStart(f"{name}: is not an executable file", found=True)
    raise CannotStart(f"{name}: command not found", found=False)


def name_of(argv: tuple[str, ...]) -> str:
    """What to call a command: the program, or the script that an interpreter was given."""
    program = Path(argv[0]).name
    script = Path(argv[1]) if len(argv) > 1 else None
    if script and _INTERPRETER.fullmatch(program) and script.suffix and script.is_file():
        return script.stem
    return program


def user_of(name: str) -> dict[str, Any]:
    """uid, gid and groups of a user, by name or number. Raises BadInput for one unknown."""
    try:
        entry = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except KeyError:
        if not name.isdecimal():
            raise BadInput(f"--user {name}: there is no such user") from None
        return {"uid": int(name), "gid": int(name), "groups": [int(name)], "env": {}}
    return {
        "uid": entry.pw_uid,
        "gid": entry.pw_gid,
        "groups": os.getgrouplist(entry.pw_name, entry.pw_gid),
        # As systemd does: looking into the caller's home would show needs that are not the
        # program's.
        "env": {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name},
    }


def require(root: Callable[[], Path] = tracefs.find) -> Path:
    """The tracefs root, or CannotObserve with what is missing and how to get it."""
    if os.geteuid() != 0:
        raise CannotObserve(
            "seeing capability checks needs root",
            hint="prefix the command with sudo: sudo capadvise run -- …",
        )
    if os.stat("/proc/self/ns/pid").st_ino != procfs.INITIAL_PID_NAMESPACE:
        raise CannotObserve(
            "this is inside a pid namespace (a container?), where the kernel's trace cannot "
            "be tied to processes",
            hint="run capadvise on the host, or start the container with --pid=host --privileged",
        )
    folder = root()
    if not (folder / "events" / CHECK_EVENT.replace(":", "/")).is_dir():
        raise CannotObserve(
            f"this kernel ({os.uname().release}) has no tracepoint {CHECK_EVENT}",
            hint="it came with Linux 6.14; `capadvise doctor` lists what this machine offers",
        )
    return folder


class Buffers:
    """Two private trace buffers: CAP_SYS_ADMIN, asked at every mmap, never pushes out the rest."""

    def __init__(self, root: Path, *, all_refusals: bool) -> None:
        self.root = root
        stem = f"{tracefs.PREFIX}{os.getpid()}-{procfs.start_time('self')}"
        self.names = (f"{stem}-quiet", f"{stem}-flood")
        self.folders = [str(root / "instances" / name) for name in self.names]
        self._all_refusals = all_refusals
        self._opened: list[tracefs.Instance] = []

    def open(self, held: Callable[[], int]) -> None:
        """Make both at once: most of the time goes into waiting for the kernel.

        ``held`` gives the pid to follow; without one, an instance would record the whole machine.
        """
        self._held = held
        both = Background(self._flood)
        self.quiet, self.types = self._quiet()
        self.flood = both.result()

    def _flood(self) -> tracefs.Instance:
        instance = tracefs.Instance(self.root, self.names[1], buffer_kb=FLOOD_KB)
        self._opened.append(instance)
        instance.follow(self._held())
        instance.filter(CHECK_EVENT, f"cap == {int(SYS_ADMIN)}")
        tracefs.write(instance.folder / "options" / "stacktrace", "1")
        instance.enable([CHECK_EVENT])
        return instance

    def _quiet(self) -> tuple[tracefs.Instance, Types]:
        instance = tracefs.Instance(self.root, self.names[0], buffer_kb=QUIET_KB)
        self._opened.append(instance)
        instance.follow(self._held())
        instance.filter(CHECK_EVENT, f"cap != {int(SYS_ADMIN)}")
        instance.stacks(CHECK_EVENT, f"cap != {int(SYS_ADMIN)}")
        tree = [f"sched:sched_process_{what}" for what in ("fork", "exec", "exit")]
        known = {entry.name for entry in os.scandir(instance.folder / "events" / "syscalls")}
        enters = [name for name in calls.ARGUMENTS if f"sys_enter_{name}" in known]
        exits = [name for name in calls.RESULTS if f"sys_exit_{name}" in known]
        refusable = [name for name in calls.REFUSABLE if f"sys_exit_{name}" in known]
        for name, expression in calls.FILTERS.items():
            instance.filter(f"syscalls:sys_enter_{name}", expression)
        if self._all_refusals:
            refused = " || ".join(f"ret == -{code}" for code in calls.REFUSED)
            for name in refusable:
                instance.filter(f"syscalls:sys_exit_{name}", refused)
            exits += refusable
        events = [f"syscalls:sys_enter_{name}" for name in enters]
        events += [f"syscalls:sys_exit_{name}" for name in exits]
        instance.enable([CHECK_EVENT, *tree, *events])
        check = tracefs.format_of(instance.event(CHECK_EVENT))
        execs = tracefs.format_of(instance.event(tree[1]))
        return instance, Types(
            check=check.id,
            check_fields=check.unpacker("target_ns", "cap", "ret"),
            stack=tracefs.format_of(self.root / "events/ftrace/kernel_stack").id,
            fork=tracefs.event_id(instance.event(tree[0])),
            exec=execs.id,
            exec_filename=execs.fields["filename"].offset,
            exit=tracefs.event_id(instance.event(tree[2])),
            enters={_id(instance, f"sys_enter_{name}"): name for name in enters},
            exits={_id(instance, f"sys_exit_{name}"): name for name in exits},
        )

    def drain(self, aggregator: Aggregator) -> None:
        """Read all that is there. CAP_SYS_ADMIN's first: see ``Aggregator.feed``."""
        flood = list(self.flood.pages())
        aggregator.feed(self.quiet.pages(), flood)

    def lost(self) -> Lost:
        """What the kernel could not keep."""
        return Lost(signal=self.quiet.lost(), sys_admin=self.flood.lost())

    def close(self) -> None:
        """Let both go. The guardian removes them, when we are out of the way: it takes longer
        than a short run, and nobody needs to wait for it."""
        for instance in self._opened:
            instance.close()

    def remove(self) -> None:
        """Remove both, when there is no guardian that would."""
        for instance in self._opened:
            tracefs.remove(instance.folder)


def _id(instance: tracefs.Instance, call: str) -> int:
    return tracefs.event_id(instance.event(f"syscalls:{call}"))


def observe(command: Command, meanwhile: Callable[[], object] = lambda: None) -> Observation:
    """Run a command to its end and return what was seen.

    ``meanwhile`` is called while the kernel makes the buffers, which takes longest, for work that
    will be needed afterwards.
    Raises CannotObserve or CannotStart when nothing ran.
    """
    path = resolve(command.argv[0])
    user = user_of(command.user) if command.user else None
    root = require()
    _remove_leftovers(root)
    signals = Signals()
    fds = [int(root.name)] if root.parent == Path("/proc/self/fd") else []
    guardian = GuardianProcess(fds)
    buffers = Buffers(root, all_refusals=_may_lack(user is not None))
    guardian.tell(
        {
            "path": path,
            "argv": list(command.argv),
            "user": user,
            "mask": [int(number) for number in signals.before],
            "stdout_to_stderr": command.stdout_to_stderr,
            "instances": buffers.folders,
            "fds": fds,
        }
    )
    try:
        hearing = Background(lambda: _hear(guardian, "held"))
        ready = Background(lambda: buffers.open(hearing.result))
        symbols = Symbols.load()
        meanwhile()
        ready.result()
        held = hearing.result()
        uid, gid = (user["uid"], user["gid"]) if user else (os.getuid(), os.getgid())
        run = _Run(
            command, guardian, signals, buffers, Aggregator(buffers.types, symbols, held, uid, gid)
        )
        target_sets = procfs.capability_sets(held)
        posture = Posture({name: value for name, value in _sysctls(held)})
        guardian.tell("go")
        _hear(guardian, "started")
        run.until_end()
    finally:
        buffers.close()
        guardian.release()
        if guardian.ended:
            buffers.remove()
    return Observation(
        recording=run.recording(
            Held(
                bounding=target_sets.bounding,
                permitted=target_sets.permitted if user else target_sets.bounding,
                ambient=target_sets.ambient,
            )
        ),
        target=Target("command", name_of(command.argv), command.argv, os.getcwd(), f"{uid}:{gid}"),
        workload=Workload(run.kind, command.check),
        posture=posture,
        check_passed=run.check_passed,
    )


def _hear(guardian: GuardianProcess, word: str) -> int:
    message = guardian.hear_one()
    if "failed" in message:
        code = message["failed"]
        raise CannotStart(
            f"cannot {message['step']}: {os.strerror(code)}",
            found=code != 2,
        )
    return int(message[word])


def _may_lack(other_user: bool) -> bool:
    """Whether the target can be refused for want of a capability that we could not give it."""
    bounding = procfs.capability_sets().bounding
    return other_user or any(Cap(number) not in bounding for number in range(procfs.last_cap() + 1))


def _sysctls(pid: int) -> Iterator[tuple[str, str]]:
    for name in _SYSCTLS:
        value = procfs.sysctl(name)
        if value is not None:
            yield name, " ".join(value.split())


def _remove_leftovers(root: Path) -> None:
    """Instances of runs whose supervisor and guardian were killed at the same moment."""
    alive = set()
    for pid in procfs.processes():
        with contextlib.suppress(OSError):
            alive.add((pid, procfs.start_time(pid)))
    for folder in tracefs.leftovers(root, alive):
        with contextlib.suppress(CannotObserve, OSError):
            tracefs.remove(folder)


class _Run:
    """The time between the target's exec and the end of the recording."""

    def __init__(
        self,
        command: Command,
        guardian: GuardianProcess,
        signals: Signals,
        buffers: Buffers,
        aggregator: Aggregator,
    ) -> None:
        self.command, self.guardian, self.signals = command, guardian, signals
        self.buffers, self.aggregator = buffers, aggregator
        self.began = datetime.datetime.now(datetime.UTC)
        self.clock = time.monotonic()
        self.status: int | None = None
        self.empty = self.interrupted = False
        self.kill_at: float | None = None
        self.lost = Lost()
        self.check_passed: bool | None = None
        self.passed_alive = False
        self.check_process: subprocess.Popen[bytes] | None = None
        self.next_check = 0.0

    @property
    def kind(self) -> str:
        """oneshot or daemon: a check that passes while the target lives makes it a daemon."""
        if self.command.kind:
            return self.command.kind
        return "daemon" if self.passed_alive else "oneshot"

    def until_end(self) -> None:
        """Read until the tree is gone."""
        watched = [self.guardian.report, self.signals.fd]
        while not self.empty:
            select.select(watched, [], [], _ROUND)
            self.buffers.drain(self.aggregator)
            self._hear()
            if self.guardian.ended and not self.empty:
                self.guardian.kill_orphans()
                self.interrupted = True
                break
            self._signals()
            self._time_is_up()
            self._check()
        self.buffers.quiet.stop()
        self.buffers.flood.stop()
        self.buffers.drain(self.aggregator)
        self.aggregator.finish()
        self.lost = self.buffers.lost()
        self._check_after_exit()

    def _hear(self) -> None:
        for message in self.guardian.hear():
            if "exited" in message:
                self.status = os.waitstatus_to_exitcode(message["exited"])
            elif "empty" in message:
                self.empty = True
            elif "stopped" in message:
                self._stop_with_target()

    def _stop_with_target(self) -> None:
        """The target stopped: so do we, for the shell's job control. The guardian wakes us when
        the target goes on. Off a terminal nobody looks, and reading must go on."""
        if _in_foreground() and procfs.state(self.aggregator.root) == "T":
            os.kill(os.getpid(), signal.SIGSTOP)

    def _signals(self) -> None:
        for number, from_process in self.signals.received():
            if from_process:
                self.guardian.tell({"signal": number})
            if number == signal.SIGTERM:
                self.kill_at = time.monotonic() + PATIENCE
            self.interrupted = True
            self.aggregator.phase = Phase.STOP

    def _time_is_up(self) -> None:
        now = time.monotonic()
        if self.command.seconds and now - self.clock > self.command.seconds:
            self._stop()
        if self.kill_at is not None and now > self.kill_at:
            self.guardian.tell("kill")

    def _stop(self) -> None:
        """End the target as a runtime would: SIGTERM, and SIGKILL for what does not heed it."""
        if self.kill_at is None:
            self.aggregator.phase = Phase.STOP
            self.guardian.tell({"signal": signal.SIGTERM})
            self.kill_at = time.monotonic() + PATIENCE

    def _check(self) -> None:
        """Poll the check while the target lives, without ever waiting for it."""
        if not self.command.check or self.command.kind == "oneshot" or self.check_passed:
            return
        if self.status is not None or self.kill_at is not None:
            return
        if self.check_process is None:
            if time.monotonic() >= self.next_check:
                self.check_process = self._start_check()
        elif self.check_process.poll() is not None:
            self.check_passed = self.check_process.returncode == 0
            self.check_process = None
            self.next_check = time.monotonic() + _CHECK_EVERY
            if self.check_passed:
                self.passed_alive = True
                self.buffers.drain(self.aggregator)
                self._stop()

    def _start_check(self) -> subprocess.Popen[bytes]:
        status = "" if self.status is None else str(self.status)
        before = self.signals.before
        return subprocess.Popen(
            ["/bin/sh", "-c", self.command.check or "true"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "EXIT": status},
            # the check must not inherit that we block signals
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, before),
        )

    def _check_after_exit(self) -> None:
        if self.check_process is not None:
            self.check_process.kill()
            self.check_process.wait()
        if self.command.check and not self.check_passed and self.command.kind != "daemon":
            self.check_passed = self._start_check().wait() == 0

    def recording(self, held: Held) -> Recording:
        """What was seen, as a value."""
        aggregator = self.aggregator
        status = self.status
        if status is not None and status < 0:
            status = 128 - status
        return Recording(
            host=Host(
                kernel=os.uname().release,
                arch=os.uname().machine,
                last_cap=procfs.last_cap(),
                observer="tracepoint",
                lsm=procfs.active_lsms(),
            ),
            held=held,
            started=self.began.isoformat(timespec="milliseconds"),
            seconds=round(time.monotonic() - self.clock, 3),
            exit_status=status,
            checks=aggregator.checks(),
            refusals=aggregator.refusals(),
            lost=self.lost,
            interrupted=self.interrupted,
            io_uring=aggregator.io_uring,
            setid_exec=aggregator.setid_exec,
            own_sets=tuple(
                (program, kept)
                for program, kept in aggregator.own_sets
                if kept and kept != held.bounding
            ),
        )


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False
