"""From the fork to the exec of a target: in the guardian's child, or in ``launcher``.

The standard library alone, for the launcher's sake: python-prctl is loaded there.
"""

import contextlib
import errno
import fcntl
import json
import os
import signal
import termios
from collections.abc import Callable
from typing import Any, NoReturn

from capadvise.kernel import libc
from capadvise.kernel.odd_start import restore_limits
from capadvise.kernel.process_tree import OwnCgroup
from capadvise.model import clone_flags
from capadvise.observe.retry import launch as retry


class Refused(Exception):
    """A step before the target's exec failed."""

    def __init__(self, step: str, code: int) -> None:
        super().__init__(step)
        self.step, self.code = step, code


def start(
    plan: dict[str, Any],
    cgroup: OwnCgroup | None,
    go: int,
    failed: int,
    change: Callable[[], None] = lambda: None,
) -> NoReturn:
    """In the child: prepare as the plan says, wait, exec. ``change`` sets another user and
    capabilities."""
    try:
        if cgroup is not None:
            cgroup.join()
        enter_namespace(plan, go, failed)
        prepare(plan)
        change()
        os.write(failed, b"ready\n")
        if not os.read(go, 1):
            os._exit(1)  # the guardian is gone: nothing may run untraced
        tell_namespace(plan)
        restore_limits(plan["limits"])
        try:
            if stops := retry.read_filter(go):
                libc.install_seccomp_filter(stops)
        except OSError as error:
            raise Refused("install the filter that stops calls", error.errno or 0) from error
        if plan["no_new_privs"]:
            libc.forbid_new_privileges()
        try:
            os.execv(plan["path"], plan["argv"])
        except OSError as error:
            if error.errno == errno.ENOEXEC and not is_binary(plan["path"]):
                # A script without a line that names its interpreter: do as shells do.
                os.execv("/bin/sh", ["/bin/sh", plan["path"], *plan["argv"][1:]])
            if error.errno == errno.EPERM and os.path.exists("/bin/sh"):
                # Its file capabilities may be out of reach. The target fails as in a shell, and
                # what refused it is recorded.
                again = ["/bin/sh", "-c", 'exec "$0" "$@"', plan["path"], *plan["argv"][1:]]
                os.execv("/bin/sh", again)
            raise Refused(f"execute {plan['path']}", error.errno or 0) from error
    except Refused as error:
        os.write(failed, json.dumps({"failed": error.code, "step": error.step}).encode())
    except BaseException as error:  # whatever it was, this child must not go on as the guardian
        os.write(failed, json.dumps({"failed": 0, "step": f"start it: {error}"}).encode())
    os._exit(127)


def enter_namespace(plan: dict[str, Any], go: int, failed: int) -> None:
    """Enter an existing or new user namespace, if the plan wants that: the guardian maps its
    ids."""
    new = plan["retry"] and plan["retry"]["maps"]
    try:
        if plan["namespace"]:
            users = os.open(plan["namespace"], os.O_RDONLY | os.O_CLOEXEC)
            libc.setns(users, clone_flags.CLONE_NEWUSER)
        elif new:
            libc.unshare(clone_flags.CLONE_NEWUSER)
    except OSError as error:
        step = "make a user namespace" if new else "enter the trial's user namespace"
        raise Refused(step, error.errno or 0) from error
    if not new:
        return
    os.write(failed, b"ready\n")
    if not os.read(go, 1):
        os._exit(1)


def tell_namespace(plan: dict[str, Any]) -> None:
    """Cause a check against the process's own user namespace: it shows the ``Tracker`` which one
    that is."""
    if plan["namespace"]:
        with contextlib.suppress(OSError):
            libc.check_setpcap()


def is_binary(path: str) -> bool:
    """True if a file is no text for a shell."""
    with open(path, "rb") as file:
        head = file.read(256)
    return b"\0" in head or head.startswith(b"\x7fELF")


def prepare(plan: dict[str, Any]) -> None:
    """Signals, output and groups as the target is to have them."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)  # Python ignores the first two
    signal.pthread_sigmask(signal.SIG_SETMASK, plan["mask"])
    if plan["terminal"] is not None:
        own(plan["terminal"])
    elif plan["leads"]:
        os.setsid()  # as the target would lead the session without us: a getty must
    if plan["stdout_to_stderr"]:
        os.dup2(2, 1)
    if plan["groups"]:
        os.setgroups(plan["groups"])


def own(terminal: int) -> None:
    """Make it the controlling terminal of a new session, and input and output of this process."""
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(terminal, fd)
