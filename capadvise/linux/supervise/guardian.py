"""The guardian: a program of its own between the supervisor and the target.

It starts the target, holds it until it is traced, and outlives neither its supervisor nor its
target: at the end of the control pipe, however the supervisor ended, it kills all that descends
from it and removes the trace instances and probes. python-prctl is GPL: the process that holds it
stays apart, and takes nothing of capadvise but what needs the standard library alone.

Protocol: lines of JSON. On the control pipe a plan, then ``"go"``, ``"kill"``, ``{"signal": n}``,
and ``"left"``: no container is to be removed. A plan without a path starts no target: then only the
trace instances are guarded, and nothing is ever killed. On the report pipe ``{"held": pid}``,
``{"started": true}`` or ``{"failed": errno, "step": text}``, ``{"stopped": signal}``,
``{"exited": wait status}`` and at last ``{"empty": true}``: the whole tree is gone.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import signal
import sys
import termios
from typing import Any, NoReturn

if __name__ == "__main__":
    sys.path += sys.argv[3:]  # where capadvise and prctl are: started with -I -S, it has no path

from capadvise.linux.ftrace.removal import remove_instances, remove_probes
from capadvise.linux.kernel import json_lines, libc, own_caps
from capadvise.linux.kernel.odd_start import fill_streams, restore_limits
from capadvise.linux.kernel.own_cgroup import OwnCgroup
from capadvise.linux.kernel.process_tree import descendants, kill_descendants, remove_containers
from capadvise.linux.retry import launch as retry
from capadvise.linux.supervise.target_namespace import Refused, enter_namespace, tell_namespace


def main() -> None:
    """Run as a program: ``guardian.py CONTROL_FD REPORT_FD``."""
    fill_streams()
    control, report = int(sys.argv[1]), int(sys.argv[2])
    import prctl

    for fd in (control, report):
        os.set_inheritable(fd, False)
    commands = json_lines.LineReader(control)
    plan = commands.wait()
    if plan is None:
        return
    terminal = plan["terminal"]
    for fd in (*plan["fds"], *([] if terminal is None else [terminal])):
        os.set_inheritable(fd, False)
    wake, woken = os.pipe()
    for fd in (wake, woken):
        os.set_blocking(fd, False)
    prctl.set_child_subreaper(1)
    # Whoever stopped us: we go on when the supervisor ends, and do what is left to be done.
    libc.set_parent_death_signal(signal.SIGCONT)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    guardian = Guardian(plan, commands, report, wake)
    try:
        guardian.run()
    finally:
        # The target was forked before, and stays in the terminal's session.
        kill_descendants(guardian.reap, guardian.cgroup)
        remove_containers(guardian.plan["sweep"])
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
        self.cgroup: OwnCgroup | None = None
        with contextlib.suppress(FileNotFoundError):  # the supervisor has ended, and removed it
            self.cgroup = OwnCgroup(*plan["cgroup"]) if plan["cgroup"] else None

    def send(self, **message: Any) -> None:
        json_lines.send(self.report, message)

    def run(self) -> None:
        if self.plan["path"] is None:
            self.leave_terminal()
            own_caps.keep(own_caps.GUARDIAN)
            let_go()
            self.send(held=0)
        elif self.started():
            self.watch()
        while not self.commands.ended:  # the instances are being made, or still read
            for command in self.commands.read():
                self.obey(command)

    def started(self) -> bool:
        """Start the target, and hold it until ``"go"``; False where it does not run, which is told
        then: the supervisor alone prints."""
        try:
            return self.start()
        except OSError as error:  # most likely there may be no further process
            self.send(failed=error.errno, step="start the command")
            return False

    def start(self) -> bool:
        (go_read, go_write), (failed_read, failed_write) = os.pipe(), os.pipe()
        self.target = os.fork()
        if self.target == 0:
            # It may be held for long: whoever is at the other end must see ours end.
            for fd in (go_write, failed_read, self.commands.fd, self.report):
                os.close(fd)
            start(self.plan, self.cgroup, go_read, failed_write)
        os.close(go_read)
        os.close(failed_write)
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
        if not self.is_well(failed_read):
            return False
        # What is executed to remove containers has all of them again.
        own_caps.keep(own_caps.GUARDIAN)
        let_go()
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
        """A Ctrl-C is for the target, not for us."""
        os.setsid()
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)

    def is_well(self, fd: int) -> bool:
        """Wait for the child's next message: ready, or exec'd (the pipe closes); else report."""
        message = os.read(fd, 1 << 16)  # a path can be long, and longer in JSON
        if not message or message == b"ready\n":
            return True
        self.send(**json.loads(message))
        return False

    def watch(self) -> None:
        """Until the tree is gone, or the supervisor."""
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
        """Whether anything of the target's is left. Orphans in an older pid namespace are not."""
        inside = self.cgroup is not None and self.cgroup.populated()  # read: or select returns
        return self.reap() or inside

    def left(self) -> list[int]:
        """What the target has left, when it has ended itself."""
        return [*descendants(os.getpid()), *(self.cgroup.pids() if self.cgroup else [])]

    def obey(self, command: Any) -> None:
        if command == "kill":
            kill_descendants(self.reap, self.cgroup)
        elif command == "left":
            self.plan["sweep"] = []
        elif isinstance(command, dict) and "signal" in command:
            # Where the target has ended and left a daemon, the signal is for what it left.
            for pid in [self.target] if self.target else set(self.left()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, command["signal"])

    def reap(self) -> bool:
        """Collect what has ended; False when nothing is left."""
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


def let_go() -> None:
    """Of input and output: who reads a pipe behind the target need not wait for the rest."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)
    os.close(nowhere)


def start(plan: dict[str, Any], cgroup: OwnCgroup | None, go: int, failed: int) -> NoReturn:
    """In the child: become what the plan says, wait, exec."""
    try:
        if cgroup is not None:
            cgroup.join()
        enter_namespace(plan, go, failed)
        prepare(plan)
        os.write(failed, b"ready\n")
        if not os.read(go, 1):
            os._exit(1)  # the guardian is gone: nothing may run untraced
        tell_namespace(plan)
        restore_limits(plan["limits"])
        try:
            retry.install_filter(go)
        except OSError as error:
            raise Refused("install the filter that stops calls", error.errno or 0) from error
        try:
            os.execv(plan["path"], plan["argv"])
        except OSError as error:
            if error.errno == errno.ENOEXEC and not is_binary(plan["path"]):
                # A script without a first line that names its interpreter: as shells do.
                os.execv("/bin/sh", ["/bin/sh", plan["path"], *plan["argv"][1:]])
            raise Refused(f"execute {plan['path']}", error.errno or 0) from error
    except Refused as error:
        os.write(failed, json.dumps({"failed": error.code, "step": error.step}).encode())
    except BaseException as error:  # whatever it was, this child must not go on as the guardian
        os.write(failed, json.dumps({"failed": 0, "step": f"start it: {error}"}).encode())
    os._exit(127)


def is_binary(path: str) -> bool:
    """Whether a file is no text for a shell."""
    with open(path, "rb") as file:
        head = file.read(256)
    return b"\0" in head or head.startswith(b"\x7fELF")


def prepare(plan: dict[str, Any]) -> None:
    """Signals, output and identity as the target is to have them."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)  # Python ignores the first two
    signal.pthread_sigmask(signal.SIG_SETMASK, plan["mask"])
    if plan["terminal"] is not None:
        own(plan["terminal"])
    if plan["stdout_to_stderr"]:
        os.dup2(2, 1)
    if plan["groups"]:
        os.setgroups(plan["groups"])
    if plan["caps"] is not None:
        limit(frozenset(plan["caps"]))
    if plan["user"]:
        become(plan["user"])


def own(terminal: int) -> None:
    """Make it the controlling terminal of a new session, and input and output of this process."""
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(terminal, fd)


def limit(keep: frozenset[int]) -> None:
    """Cut the bounding set, and with it all that an exec as root can give."""
    import prctl

    bounding = held("CapBnd")
    for number in range(64):
        if bounding >> number & 1 and number not in keep:
            prctl.capbset_drop(number)


def become(user: dict[str, Any]) -> None:
    """Another user, with every capability that we have permitted, inheritable and ambient."""
    import prctl

    os.environ.update(user["env"])
    try:
        prctl.set_keepcaps(1)
        os.setgroups(user["groups"])
        os.setresgid(user["gid"], user["gid"], user["gid"])
        os.setresuid(user["uid"], user["uid"], user["uid"])
    except OSError as error:
        raise Refused(f"become uid {user['uid']}", error.errno or 0) from error
    permitted = held("CapPrm") & held("CapBnd")
    caps = [number for number in range(64) if permitted >> number & 1]
    prctl.set_caps((caps, [prctl.CAP_EFFECTIVE, prctl.CAP_INHERITABLE], True))
    for number in caps:
        try:
            libc.raise_ambient(number)
        except OSError as error:
            step = f"raise capability {number} in the ambient set"
            raise Refused(step, error.errno or 0) from error


def held(name: str) -> int:
    """One of this process's capability sets, as a mask."""
    with open("/proc/self/status", encoding="utf-8") as status:
        return int(next(line for line in status if line.startswith(f"{name}:")).split()[1], 16)


if __name__ == "__main__":
    try:
        main()
    except (OSError, MemoryError) as error:  # its end is the supervisor's to tell
        sys.exit(f"capadvise: guardian: {error}")
