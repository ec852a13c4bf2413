"""The guardian: a process between the supervisor and the target.

It starts the target, holds it until it is traced, and outlives neither its supervisor nor its
target: when the control pipe ends, for any reason, it kills all its descendants and removes the
trace instances and probes. It is forked, not executed: every target would wait for a second
interpreter.

Protocol: lines of JSON. On the control pipe a plan, then ``"go"``, ``"kill"``, ``{"signal": n}``,
``"left"``: no container is to be removed, and ``"released"``: the supervisor has not died, and
closes the pipe. A plan without a path starts no target: then only the trace instances are guarded,
and nothing is ever killed. On the report pipe ``{"held": pid}``,
``{"started": true}`` or ``{"failed": errno, "step": text}``, ``{"stopped": signal}``,
``{"exited": wait status}`` and at last ``{"empty": true}``: the whole tree is gone.
"""

import contextlib
import fcntl
import gc
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterable
from typing import Any, NoReturn

from capadvise.kernel import json_lines, libc, own_caps
from capadvise.kernel.process_tree import (
    OwnCgroup,
    descendants,
    kill_descendants,
    remove_containers,
)
from capadvise.observe.ftrace.removal import remove_instances, remove_probes
from capadvise.observe.retry import launch as retry
from capadvise.observe.supervise.target_start import start

_NAME, _ARGUMENTS = "guardian", "capadvise guardian"
"""Its name in ps(1). A kill of all processes called capadvise, or with the target's name among
their arguments, must hit only the supervisor."""


_LONGEST = 1 << 16
"""Bytes of a child's message: a path can be long, and longer in JSON."""
_KILLED = {"failed": 0, "step": "start the command: its process has ended"}


def begin(control: int, report: int, fds: Iterable[int], cgroup: OwnCgroup | None = None) -> int:
    """Start it, and return its pid. It keeps these ends of two pipes and ``fds`` for itself, and
    for the target the files that we were started with. ``cgroup``: to be removed even if we die
    before we send a plan."""
    pid = os.fork()
    if pid == 0:
        _be_guardian(control, report, fds, cgroup)
    return pid


def _be_guardian(
    control: int, report: int, fds: Iterable[int], cgroup: OwnCgroup | None
) -> NoReturn:
    status = 1
    try:
        gc.freeze()  # what is the supervisor's is not ended here
        _forget({control, report, *fds})
        with contextlib.suppress(OSError):
            libc.call_this_process(_NAME, _ARGUMENTS)
        main(control, report, cgroup)
        status = 0
    except BaseException as error:  # its end is the supervisor's to tell
        os.write(2, f"capadvise: guardian: {str(error) or repr(error)}\n".encode(errors="replace"))
    finally:
        os._exit(status)


def _forget(kept: set[int]) -> None:
    """Do what an exec would: close the supervisor's files, remove signal handlers. A file in the
    place of a missing standard stream stays: no other file may take that place."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):  # the list's own
            if fd > 2 and fd not in kept and fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC:
                os.close(fd)
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)


def main(control: int, report: int, cgroup: OwnCgroup | None = None) -> None:
    """Carry out the commands of one pipe, and report on the other one."""
    commands = json_lines.LineReader(control)
    plan = commands.wait()
    if plan is None:
        if cgroup is not None:
            cgroup.end()
        return
    wake, woken = os.pipe()
    for fd in (wake, woken):
        os.set_blocking(fd, False)
    libc.become_subreaper()
    # If somebody stopped us: we go on when the supervisor ends, and do our rest of the work.
    libc.set_parent_death_signal(signal.SIGCONT)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    guardian = Guardian(plan, commands, report, wake)
    try:
        guardian.run()
    finally:
        # The target was forked before, and stays in the terminal's session.
        kill_descendants(guardian.reap, guardian.cgroup)
        linger = plan["linger"] if guardian.released else 0.0
        if guardian.plan["sweep"] and not linger:  # an engine may not answer for minutes
            remove_instances(plan["instances"], patience=0)
        remove_containers(guardian.plan["sweep"])
        if plan["instances"]:
            time.sleep(linger)
        remove_instances(plan["instances"])
        if plan["probes"]:
            remove_probes(os.path.dirname(os.path.dirname(plan["instances"][0])), plan["probes"])


class Guardian:
    """The target's parent."""

    def __init__(
        self, plan: dict[str, Any], commands: json_lines.LineReader, report: int, wake: int
    ) -> None:
        self.plan, self.commands, self.report, self.wake = plan, commands, report, wake
        self.target = 0
        self.released = False
        """The supervisor has not died."""
        self.cgroup: OwnCgroup | None = None
        with contextlib.suppress(FileNotFoundError):  # the supervisor has ended, and removed it
            self.cgroup = OwnCgroup(*plan["cgroup"]) if plan["cgroup"] else None

    def send(self, **message: Any) -> None:
        json_lines.send(self.report, message)

    def run(self) -> None:
        if self.plan["path"] is None:
            self.leave_terminal()
            own_caps.keep(own_caps.GUARDIAN)
            detach_streams()
            self.send(held=0)
        elif self.started():
            self.watch()
        while not self.commands.ended:  # the instances are being made, or still read
            for command in self.commands.read():
                self.obey(command)

    def started(self) -> bool:
        """Start the target, and hold it until ``"go"``; False if it does not run, which it reports:
        only the supervisor prints."""
        try:
            return self.start()
        except OSError as error:  # most likely there may be no further process
            self.send(failed=error.errno, step="start the command")
            return False

    def start(self) -> bool:
        (go_read, go_write), (failed_read, failed_write) = os.pipe(), os.pipe()
        plan_read, plan_write = os.pipe()
        self.target = os.fork()
        if self.target == 0:
            # It may be held for long: the readers of these pipes must see our end.
            for fd in (go_write, failed_read, self.commands.fd, self.report):
                os.close(fd)
            if self.plan["launcher"]:
                launch(self.plan, plan_read, go_read, failed_write)
            start(self.plan, self.cgroup, go_read, failed_write)
        for fd in (plan_read, go_read, failed_write):
            os.close(fd)
        if self.plan["launcher"]:
            json_lines.send(plan_write, self.plan)
        os.close(plan_write)
        if self.plan["terminal"] is not None:
            os.close(self.plan["terminal"])
        self.leave_terminal()
        if not self.is_well(failed_read):
            return False
        stops = b""
        if self.plan["retry"]:
            if self.plan["retry"]["maps"] and not self.map_ids(go_write, failed_read):
                return False
            answer = retry.start_tracer(self.plan["retry"], self.target, self.plan["fds"])
            if "failed" in answer:
                self.send(failed=0, step=answer["failed"])
                return False
            stops = bytes.fromhex(answer["filter"])
        self.send(held=self.target)
        if self.commands.wait() != "go":
            return False
        retry.send_filter(go_write, stops)
        os.close(go_write)
        if not self.has_executed(failed_read):
            return False
        # Programs that remove containers get all of them again.
        own_caps.keep(own_caps.GUARDIAN)
        detach_streams()
        self.send(started=True)
        return True

    def map_ids(self, go: int, child: int) -> bool:
        """Give the target's new user namespace its ids; the target goes on preparing then."""
        problem = retry.map_ids(self.target, self.plan["retry"]["maps"])
        if problem:
            self.send(failed=0, step=f"map ids ({problem})")
            return False
        os.write(go, b"m")
        return self.is_well(child)

    def leave_terminal(self) -> None:
        """Leave the terminal's session: a Ctrl-C is for the target, not for us."""
        os.setsid()
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)

    def is_well(self, fd: int) -> bool:
        """Wait until the child reports that it is ready; else pass on its report."""
        return self.pass_on(os.read(fd, _LONGEST), well=b"ready\n")

    def has_executed(self, fd: int) -> bool:
        """Wait until its end of the pipe closes with its exec; else pass on its report."""
        return self.pass_on(os.read(fd, _LONGEST), well=b"")

    def pass_on(self, message: bytes, well: bytes) -> bool:
        if message != well:
            self.send(**(json.loads(message) if message else _KILLED))
        return message == well

    def watch(self) -> None:
        """Wait until the tree is gone, or the supervisor."""
        populated = [self.cgroup.events] if self.cgroup else []
        while True:
            ready, _, _ = select.select([self.commands.fd, self.wake], [], populated)
            if self.wake in ready:
                os.read(self.wake, 4096)
            if not self.goes_on():
                self.send(empty=True)
                return
            if self.commands.fd in ready:
                for command in self.commands.read():
                    self.obey(command)
                if self.commands.ended:
                    return

    def goes_on(self) -> bool:
        """True if a process of the target is left; orphans in an outer pid namespace do not
        count."""
        inside = self.cgroup is not None and self.cgroup.populated()  # read: or select returns
        return self.reap() or inside

    def left(self) -> list[int]:
        """The processes that the target left when it ended."""
        return [*descendants(os.getpid()), *(self.cgroup.pids() if self.cgroup else [])]

    def obey(self, command: Any) -> None:
        if command == "kill":
            kill_descendants(self.reap, self.cgroup)
        elif command == "left":
            self.plan["sweep"] = []
        elif command == "released":
            self.released = True
        elif isinstance(command, dict) and "signal" in command:
            # If the target has ended and left a daemon, the signal is for that.
            for pid in [self.target] if self.target else set(self.left()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, command["signal"])

    def reap(self) -> bool:
        """Reap children that have ended; False if no child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            except ChildProcessError:
                return False
            if not pid:
                return True
            if pid != self.target:
                continue
            if os.WIFSTOPPED(status):
                self.send(stopped=os.WSTOPSIG(status))
            elif os.WIFCONTINUED(status):
                os.kill(os.getppid(), signal.SIGCONT)  # it may have stopped with the target
            else:
                self.target = 0  # the number may be another process's now
                self.send(exited=status)


def launch(plan: dict[str, Any], *fds: int) -> NoReturn:
    """In the child: exec the launcher. ``fds``: for the plan, and those of ``start``."""
    try:
        parent, terminal = plan["cgroup"] and plan["cgroup"][0], plan["terminal"]
        for fd in (*fds, *(fd for fd in (parent, terminal) if fd is not None)):
            os.set_inheritable(fd, True)
        program, *paths = plan["launcher"]
        words = [sys.executable, "-I", "-S", program, *map(str, fds), *paths]
        os.execv(sys.executable, words)
    except OSError as error:
        message = {"failed": error.errno, "step": f"execute {sys.executable}"}
        os.write(fds[-1], json.dumps(message).encode())
    finally:
        os._exit(127)


def detach_streams() -> None:
    """Redirect our streams to /dev/null: a reader of the target's output pipe must not wait for our
    end."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)
    os.close(nowhere)
